package poison

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rlapp/rlapp/schema"
)

// Rehearsals tells, by the names of handlers, what they would do with an event: each
// runs the handler as it is now and undoes what it did. What is missing cannot be
// rehearsed.
type Rehearsals map[string]func(context.Context, schema.Recorded) error

// ErrNotRehearsable says that what a handler does cannot be undone.
var ErrNotRehearsable = errors.New("what this handler does cannot be undone, so it cannot be rehearsed; plugin.OnTx makes one that can")

// Rehearse returns what a handler would return for a message that was given up, or
// ErrNotRehearsable. A panic is an error.
func (r Rehearsals) Rehearse(ctx context.Context, handler, messageID string, headers map[string]string, payload []byte) (err error) {
	rehearse, can := r[handler]
	if !can {
		return ErrNotRehearsable
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	e, err := schema.DecodeMessage(messageID, message.Metadata(headers), payload)
	if err != nil {
		return err
	}
	return rehearse(ctx, e)
}
