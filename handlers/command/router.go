package command

import (
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/rlapp/rlapp/waitingroom"
)

// Register adds the command handlers to a router of their own. Router
// middleware that is added before, such as metrics, sees each command's failure;
// Register must come after it.
func Register(router *message.Router, subscriber message.Subscriber, handlers *Handlers) {
	router.AddMiddleware(middleware.CorrelationID, middleware.Recoverer)
	add(router, subscriber, checkInTopic, handlers.checkIn)
}

// ReplyFailure is the outermost middleware of the command router: it hands a
// handler's failure, also a panic, to the sender and acks the message. A command
// is never delivered twice: only its sender knows whether it is still wanted.
func ReplyFailure(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		produced, err := next(msg)
		if err != nil {
			respond(msg, reply{err: err})
		}
		return produced, nil
	}
}

type handle[C any] func(msg *message.Message, e Envelope[C]) (waitingroom.Appended, error)

func add[C any](router *message.Router, subscriber message.Subscriber, topic string, h handle[C]) {
	router.AddConsumerHandler(topic, topic, subscriber, func(msg *message.Message) error {
		e, err := open[C](msg)
		if err != nil {
			return fmt.Errorf("decode command %s: %w", topic, err)
		}
		appended, err := h(msg, e)
		var refusal *waitingroom.Error
		if err != nil && !errors.As(err, &refusal) {
			return err
		}
		// A refusal is an answer, not a failure of the handler.
		respond(msg, reply{appended: appended, err: err})
		return nil
	})
}
