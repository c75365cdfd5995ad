package rabbitmq

import (
	"errors"
	"fmt"
	"strings"
)

// ErrClosed is returned by a Publisher or Subscriber after its Close.
var ErrClosed = errors.New("the RabbitMQ client is closed")

// ErrNoDelivery is returned by Marshaler.Unmarshal for the empty delivery that a
// cancelled consumer hands out. There is nothing to acknowledge.
var ErrNoDelivery = errors.New("an empty delivery, as of a cancelled consumer")

// UnavailableError says that the broker could not be asked: there is no
// connection, it takes no messages for now, or it did not answer in time.
// Nothing is wrong with the messages; the same call may succeed later. Some of
// the messages may have arrived all the same.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string { return "RabbitMQ is unavailable: " + e.Err.Error() }

func (e *UnavailableError) Unwrap() error { return e.Err }

// UnroutableError says that the broker returned messages since no queue takes
// them. The other messages of the call were published.
type UnroutableError struct {
	// MessageUUIDs names the messages, in the order of the call.
	MessageUUIDs []string
	// Reason is the broker's, with the exchange and routing key of the first.
	Reason string
}

func (e *UnroutableError) Error() string {
	return fmt.Sprintf("UNROUTABLE: %s: %s", e.Reason, strings.Join(e.MessageUUIDs, ", "))
}

// FailedMessages is MessageUUIDs.
func (e *UnroutableError) FailedMessages() []string { return e.MessageUUIDs }

// NackedError says that the broker refused messages. The other messages of the
// call were published.
type NackedError struct {
	// MessageUUIDs names the messages, in the order of the call.
	MessageUUIDs []string
	// Reason is the broker's, "" when it gave none.
	Reason string
}

func (e *NackedError) Error() string {
	reason := e.Reason
	if reason == "" {
		reason = "no reason given"
	}
	return fmt.Sprintf("RabbitMQ refused messages: %s: %s", reason, strings.Join(e.MessageUUIDs, ", "))
}

// FailedMessages is MessageUUIDs.
func (e *NackedError) FailedMessages() []string { return e.MessageUUIDs }

// MessageError says that a message cannot travel, or could not be read after it
// did. No retry can help. Of a Publish call that returns it, nothing was sent.
type MessageError struct{ MessageUUID, Reason string }

func (e *MessageError) Error() string {
	return fmt.Sprintf("message %q: %s", e.MessageUUID, e.Reason)
}

// RefusedMessage is MessageUUID.
func (e *MessageError) RefusedMessage() string { return e.MessageUUID }
