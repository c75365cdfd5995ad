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
	add[waitingroom.CheckIn](router, subscriber, handlers)
	add[waitingroom.CallNextAtCashier](router, subscriber, handlers)
	add[waitingroom.ValidatePayment](router, subscriber, handlers)
	add[waitingroom.MarkPaymentPending](router, subscriber, handlers)
	add[waitingroom.CancelPayment](router, subscriber, handlers)
	add[waitingroom.MarkAbsentAtCashier](router, subscriber, handlers)
	add[waitingroom.ActivateConsultingRoom](router, subscriber, handlers)
	add[waitingroom.DeactivateConsultingRoom](router, subscriber, handlers)
	add[waitingroom.CallNextForConsultation](router, subscriber, handlers)
	add[waitingroom.StartConsultation](router, subscriber, handlers)
	add[waitingroom.FinishConsultation](router, subscriber, handlers)
	add[waitingroom.MarkAbsentAtConsultation](router, subscriber, handlers)
}

// topicOf is the topic and the handler name of a command. It is public API:
// dashboards select by it.
func topicOf(c waitingroom.Command) string { return "command." + c.CommandName() }

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

func add[C waitingroom.Command](router *message.Router, subscriber message.Subscriber, handlers *Handlers) {
	var kind C
	topic := topicOf(kind)
	router.AddConsumerHandler(topic, topic, subscriber, func(msg *message.Message) error {
		e, err := open[C](msg)
		if err != nil {
			return fmt.Errorf("decode command %s: %w", topic, err)
		}
		appended, err := handle(msg, handlers, e)
		var refusal *waitingroom.Error
		if err != nil && !errors.As(err, &refusal) {
			return err
		}
		// A refusal is an answer, not a failure of the handler.
		respond(msg, reply{appended: appended, err: err})
		return nil
	})
}
