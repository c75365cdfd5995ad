package outbox

import (
	"errors"

	"github.com/ThreeDotsLabs/watermill/message"
)

// Publisher stands between the forwarder and the transport: it takes the chunks
// of a Subscriber and publishes their events in one call, which the transport can
// pipeline. After a failure only what was not delivered is published again. It is
// safe for concurrent use where the transport's publisher is.
type Publisher struct{ transport message.Publisher }

// NewPublisher returns a publisher to the transport.
func NewPublisher(transport message.Publisher) *Publisher { return &Publisher{transport: transport} }

var _ message.Publisher = (*Publisher)(nil)

// PartialFailure is what a transport's error says when it is about some messages
// of a Publish call, and all others were delivered.
type PartialFailure interface {
	error
	// FailedMessages are the ids of those that were not.
	FailedMessages() []string
}

// Refusal is what a transport's error says when one message can never travel, and
// nothing of the Publish call was sent because of it.
type Refusal interface {
	error
	// RefusedMessage is its id.
	RefusedMessage() string
}

// Publish publishes the events of the chunks, each chunk after the one before. It
// returns the transport's errors, joined where there are several, and an error for
// a message that is no chunk.
func (p *Publisher) Publish(topic string, chunks ...*message.Message) error {
	var errs []error
	for _, chunk := range chunks {
		events, err := decodeChunk(chunk.Payload)
		if err != nil {
			return chunkError(chunk, err)
		}
		a, ok := attemptOf(chunk.Context())
		if !ok {
			a = &attempt{}
		}
		for _, e := range events {
			e.SetContext(chunk.Context())
		}
		errs = append(errs, p.publish(topic, a, a.undelivered(events)))
	}
	return errors.Join(errs...)
}

// publish notes in the attempt what was not delivered.
func (p *Publisher) publish(topic string, a *attempt, events []*message.Message) error {
	var errs []error
	for len(events) > 0 {
		a.fail(events, errNoAnswer) // until the transport has answered: it may panic
		err := p.transport.Publish(topic, events...)
		if err == nil {
			a.deliver(events)
			break
		}
		errs = append(errs, err)
		var refusal Refusal
		if errors.As(err, &refusal) && contains(events, refusal.RefusedMessage()) {
			a.failed[refusal.RefusedMessage()] = err
			events = without(events, refusal.RefusedMessage())
			continue // the others may go
		}
		a.sort(events, err)
		break
	}
	return errors.Join(errs...)
}

// errNoAnswer is why events were not delivered when the transport did not say.
var errNoAnswer = errors.New("the transport gave no answer")

func contains(events []*message.Message, id string) bool {
	for _, e := range events {
		if e.UUID == id {
			return true
		}
	}
	return false
}

func without(events []*message.Message, id string) []*message.Message {
	var rest []*message.Message
	for _, e := range events {
		if e.UUID != id {
			rest = append(rest, e)
		}
	}
	return rest
}

// partialFailures finds every one in an error, which may join several, and reports
// whether there is nothing else in it.
func partialFailures(err error) (failures []PartialFailure, only bool) {
	if f, ok := err.(PartialFailure); ok { //nolint:errorlint // the tree is walked here
		return []PartialFailure{f}, true
	}
	switch wrapped := err.(type) { //nolint:errorlint // the tree is walked here
	case interface{ Unwrap() error }:
		return partialFailures(wrapped.Unwrap())
	case interface{ Unwrap() []error }:
		only = true
		for _, one := range wrapped.Unwrap() {
			some, onlyThose := partialFailures(one)
			failures, only = append(failures, some...), only && onlyThose
		}
		return failures, only
	}
	return nil, false
}

// Close closes the transport's publisher.
func (p *Publisher) Close() error { return p.transport.Close() }

// Parking is the message.Publisher behind the relay's poison middleware. A row
// that no retry can help is parked where it is, in the outbox, with the reason:
// it is not published, and a person decides. Its queue's later events wait.
type Parking struct {
	// Hopeless says that no retry can help an event. Required.
	Hopeless func(error) bool
}

var _ message.Publisher = Parking{}

// Publish marks the hopeless events of the chunks as parked; the subscriber writes
// that to their rows. It fails for a message that did not come from a Subscriber.
func (p Parking) Publish(_ string, chunks ...*message.Message) error {
	for _, chunk := range chunks {
		a, ok := attemptOf(chunk.Context())
		if !ok {
			return chunkError(chunk, errNoChunk)
		}
		a.parked = map[string]bool{}
		for id, err := range a.failed {
			a.parked[id] = p.Hopeless(err)
		}
	}
	return nil
}

// Close does nothing.
func (Parking) Close() error { return nil }
