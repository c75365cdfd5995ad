package command

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/rlapp/rlapp/waitingroom"
)

// Envelope is a command with what is known about its request. C is the command.
type Envelope[C waitingroom.Command] struct {
	// Command is what is asked for.
	Command C
	// CorrelationID ties together everything that the request causes.
	CorrelationID string
	// Actor is who asks, "anonymous" where nobody said.
	Actor string
	// IdempotencyKey is the client's key for the request, if it gave one.
	IdempotencyKey string
}

// Bus sends commands through a Watermill publisher and waits for their replies.
// It is safe for concurrent use.
type Bus struct{ publisher message.Publisher }

// NewBus returns a bus. The publisher must deliver within the process and keep
// message contexts, since the reply travels back through them.
func NewBus(publisher message.Publisher) *Bus { return &Bus{publisher: publisher} }

// reply is the answer to one command.
type reply struct {
	appended waitingroom.Appended
	err      error
}

// sent is what travels with a command's message in its context.
type sent struct {
	// envelope is what the payload says, and spares decoding it.
	envelope any
	replies  chan reply
}

type sentKey struct{}

// Send has a command carried out. It returns *waitingroom.Error for a refusal, ctx's
// error when that ends first (the command may still succeed then), and the event
// store's errors otherwise.
func Send[C waitingroom.Command](ctx context.Context, b *Bus, e Envelope[C]) (waitingroom.Appended, error) {
	topic := topicOf(e.Command)
	payload, err := json.Marshal(e)
	if err != nil {
		return waitingroom.Appended{}, fmt.Errorf("encode command %s: %w", topic, err)
	}
	// One place, so that the handler never waits for a caller who has left.
	replies := make(chan reply, 1)
	msg := message.NewMessage(watermill.NewUUID(), payload)
	msg.SetContext(context.WithValue(ctx, sentKey{}, &sent{envelope: e, replies: replies}))
	middleware.SetCorrelationID(e.CorrelationID, msg)
	if err := b.publisher.Publish(topic, msg); err != nil {
		return waitingroom.Appended{}, fmt.Errorf("send command %s: %w", topic, err)
	}
	select {
	case r := <-replies:
		return r.appended, r.err
	case <-ctx.Done():
		return waitingroom.Appended{}, fmt.Errorf("wait for the reply to %s: %w", topic, ctx.Err())
	}
}

// respond answers the sender of msg.
func respond(msg *message.Message, r reply) {
	if s, ok := msg.Context().Value(sentKey{}).(*sent); ok {
		select {
		case s.replies <- r:
		default: // answered before
		}
	}
}

// open returns the command of msg.
func open[C waitingroom.Command](msg *message.Message) (Envelope[C], error) {
	if s, ok := msg.Context().Value(sentKey{}).(*sent); ok {
		if e, ok := s.envelope.(Envelope[C]); ok {
			return e, nil
		}
	}
	var e Envelope[C]
	err := json.Unmarshal(msg.Payload, &e)
	return e, err
}
