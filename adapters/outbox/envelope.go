package outbox

import (
	"fmt"
	"reflect"

	"github.com/ThreeDotsLabs/watermill/components/forwarder"
)

// Envelope is the forwarder.Marshaler of the relay. The forwarder's own form is
// JSON, which carries a payload in base64; a chunk travels as it is, and all of
// it goes to one topic.
type Envelope struct {
	// Destination is the topic that chunks go to. Default: schema.Topic.
	Destination string
}

var _ forwarder.Marshaler = Envelope{}

// Marshal always fails: the Subscriber makes the messages.
func (Envelope) Marshal(any) ([]byte, error) {
	return nil, fmt.Errorf("the outbox's envelope is only read")
}

// Unmarshal fills the forwarder's envelope, a struct that is private to it, by the
// names of its fields.
func (e Envelope) Unmarshal(chunk []byte, envelope any) error {
	fields := reflect.ValueOf(envelope).Elem()
	destination, payload := fields.FieldByName("DestinationTopic"), fields.FieldByName("Payload")
	if !destination.IsValid() || !payload.IsValid() {
		return fmt.Errorf("the forwarder's envelope %T has another form", envelope)
	}
	destination.SetString(e.Destination)
	payload.SetBytes(chunk)
	return nil
}
