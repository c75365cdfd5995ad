package outbox

import (
	"context"

	"github.com/ThreeDotsLabs/watermill/message"
)

// attempt is how one hand-over of a row ended. Watermill's ack and nack carry no
// reason, so the subscriber puts an attempt into the message's context, and the
// middleware and the parking publisher fill it in.
type attempt struct {
	err    error
	parked string
}

type attemptKey struct{}

func withAttempt(ctx context.Context, a *attempt) context.Context {
	return context.WithValue(ctx, attemptKey{}, a)
}

func attemptOf(ctx context.Context) (*attempt, bool) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	return a, ok
}

// RecordFailure is the outermost middleware of the relay: it tells the
// subscriber why a message was nacked, so that the row can say so.
func RecordFailure(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		produced, err := next(msg)
		if a, ok := attemptOf(msg.Context()); ok {
			a.err = err
		}
		return produced, err
	}
}
