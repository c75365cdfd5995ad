package outbox

import (
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
)

// Parking is the message.Publisher behind the relay's poison middleware. A row
// that no retry can help is parked where it is, in the outbox, with the reason:
// it is not published, and a person decides. Its queue's later events wait.
type Parking struct{}

var _ message.Publisher = Parking{}

// Publish marks the messages' attempts as parked; the subscriber writes that to
// their rows. It fails for a message that did not come from a Subscriber.
func (Parking) Publish(_ string, messages ...*message.Message) error {
	for _, m := range messages {
		a, ok := attemptOf(m.Context())
		if !ok {
			return fmt.Errorf("message %s did not come from the outbox", m.UUID)
		}
		a.parked = m.Metadata.Get(middleware.ReasonForPoisonedKey)
	}
	return nil
}

// Close does nothing.
func (Parking) Close() error { return nil }
