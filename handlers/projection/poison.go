package projection

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/rlapp/rlapp/readmodel"
)

// isPoison says whether an event that keeps failing is set aside. A shutdown, a
// rebuild, a database that is away or gave the event up for the sake of others tells
// nothing about the event: it comes again.
func isPoison(err error) bool {
	var rebuilding *readmodel.RebuildingError
	return !errors.As(err, &rebuilding) && !errors.Is(err, context.Canceled) && !readmodel.Passing(err)
}

// culprits are the projections that an error is about: all where it names none, as
// for an event that cannot be read.
func culprits(err error) []readmodel.Projection {
	if found := readmodel.Culprits(err); len(found) > 0 {
		return found
	}
	return readmodel.Projections()
}

// culpritsKey is the metadata key by which a failure's projections reach
// poisonByProjection. It never travels.
const culpritsKey = "failed_projections"

// nameCulprits notes on a message that fails which projections failed. Watermill's
// poison middleware hands on the message and the text of the error only.
func nameCulprits(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		produced, err := next(msg)
		if err != nil {
			noteCulprits(msg, err)
		}
		return produced, err
	}
}

func noteCulprits(msg *message.Message, err error) {
	var names []string
	for _, p := range culprits(err) {
		names = append(names, p.HandlerName())
	}
	msg.Metadata.Set(culpritsKey, strings.Join(names, " "))
}

// poisonByProjection keeps a poisoned message once for each projection that failed on
// it, under that one's name: the others have applied the event.
type poisonByProjection struct{ message.Publisher }

// Publish implements message.Publisher.
func (p poisonByProjection) Publish(topic string, messages ...*message.Message) error {
	var all []*message.Message
	for _, msg := range messages {
		for _, name := range strings.Fields(msg.Metadata.Get(culpritsKey)) {
			own := msg.Copy()
			own.SetContext(msg.Context())
			delete(own.Metadata, culpritsKey)
			own.Metadata.Set(middleware.PoisonedHandlerKey, name)
			all = append(all, own)
		}
	}
	if err := p.Publisher.Publish(topic, all...); err != nil {
		return fmt.Errorf("keep the poisoned message: %w", err)
	}
	return nil
}

// QueueOf is the handler whose queue feeds a handler: the projections share one.
func QueueOf(handler string) string {
	for _, p := range readmodel.Projections() {
		if p.HandlerName() == handler {
			return HandlerName
		}
	}
	return handler
}
