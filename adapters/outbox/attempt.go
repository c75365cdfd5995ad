package outbox

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"
)

// attempt is how handing a chunk over went. Watermill's ack and nack carry no
// reason, and are about a chunk as a whole, so the subscriber puts an attempt into
// the message's context; the publisher and the middlewares fill it in. One of them
// is at work at a time.
type attempt struct {
	// err is why the chunk was nacked.
	err error
	// failed are the events that were not delivered, by id, with the reason; nil
	// until the chunk reached the publisher.
	failed map[string]error
	// parked are those that no retry can help.
	parked map[string]bool
}

type attemptKey struct{}

func withAttempt(ctx context.Context, a *attempt) context.Context {
	return context.WithValue(ctx, attemptKey{}, a)
}

func attemptOf(ctx context.Context) (*attempt, bool) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	return a, ok
}

// undelivered leaves out what an earlier try delivered.
func (a *attempt) undelivered(events []*message.Message) []*message.Message {
	if a.failed == nil {
		a.failed = map[string]error{}
		return events
	}
	var rest []*message.Message
	for _, e := range events {
		if a.failed[e.UUID] != nil {
			rest = append(rest, e)
		}
	}
	clear(a.failed)
	return rest
}

func (a *attempt) fail(events []*message.Message, reason error) {
	for _, e := range events {
		a.failed[e.UUID] = reason
	}
}

func (a *attempt) deliver(events []*message.Message) {
	for _, e := range events {
		delete(a.failed, e.UUID)
	}
}

// sort notes which of the events an error of the transport is about: those that it
// names, or all where something else is wrong too.
func (a *attempt) sort(events []*message.Message, err error) {
	partial, only := partialFailures(err)
	if only {
		a.deliver(events)
	} else {
		a.fail(events, err)
	}
	for _, f := range partial {
		for _, id := range f.FailedMessages() {
			a.failed[id] = f
		}
	}
}

// failure is why an event was not delivered, or nil.
func (a *attempt) failure(eventID string) error {
	if a.failed == nil {
		return a.err
	}
	return a.failed[eventID]
}

// RecordFailure is the outermost middleware of the relay: it tells the
// subscriber why a chunk was nacked, so that its rows can say so.
func RecordFailure(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		produced, err := next(msg)
		if a, ok := attemptOf(msg.Context()); ok {
			a.err = err
		}
		return produced, err
	}
}
