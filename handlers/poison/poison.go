package poison

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/rlapp/rlapp/schema"
)

// Topic is the topic under which the messages that handlers gave up are kept.
const Topic = "poison"

// Config tunes retry and poison handling. The zero value is ready for use.
type Config struct {
	// MaxRetries is how often a failing event is tried again before it is set aside.
	// One that nobody can read is not tried again. Default: 5.
	MaxRetries int
	// RetryInterval is the first wait between tries; it doubles up to twenty times
	// its value. Default: 50 ms.
	RetryInterval time.Duration
	// IsPoison says that an error is about the event. After any other the event
	// comes again. An end of the context never is. Default: every other error is.
	IsPoison func(error) bool
}

func (c *Config) setDefaults() {
	if c.MaxRetries == 0 {
		c.MaxRetries = 5
	}
	if c.RetryInterval == 0 {
		c.RetryInterval = 50 * time.Millisecond
	}
	if c.IsPoison == nil {
		c.IsPoison = func(error) bool { return true }
	}
}

// Middlewares returns what surrounds a handler, outermost first: an event that fails
// after its retries, by an error or a panic, goes to the store with the reason, the
// stack of a panic and the number of tries. The given observers see each such failure
// once. A message that is replayed to another handler is left alone.
func Middlewares(
	handler string, store message.Publisher, config Config, observers ...message.HandlerMiddleware,
) ([]message.HandlerMiddleware, error) {
	config.setDefaults()
	setAside, err := middleware.PoisonQueueWithFilter(store, Topic, func(err error) bool {
		return !errors.Is(err, context.Canceled) && config.IsPoison(err)
	})
	if err != nil {
		return nil, err
	}
	retry := middleware.Retry{
		MaxRetries:      config.MaxRetries,
		InitialInterval: config.RetryInterval,
		MaxInterval:     20 * config.RetryInterval,
		Multiplier:      2,
		ShouldRetry:     func(p middleware.RetryParams) bool { return !schema.Unreadable(p.Err) },
	}
	all := append([]message.HandlerMiddleware{leaveReplaysToOthers(handler), setAside, noteStack}, observers...)
	return append(all, retry.Middleware, countTries, middleware.Recoverer), nil
}

func leaveReplaysToOthers(handler string) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			if whose := msg.Metadata.Get(schema.HeaderReplayFor); whose != "" && whose != handler {
				return nil, nil
			}
			return next(msg)
		}
	}
}

// noteStack notes the stack of a panic. Watermill's poison middleware hands on the
// message and the text of the error only.
func noteStack(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		produced, err := next(msg)
		var panicked middleware.RecoveredPanicError
		if errors.As(err, &panicked) {
			msg.Metadata.Set(schema.HeaderPoisonStack, panicked.Stacktrace)
		}
		return produced, err
	}
}

// countTries counts how often the handler was called for a message.
func countTries(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		tries, _ := strconv.Atoi(msg.Metadata.Get(schema.HeaderPoisonTries))
		msg.Metadata.Set(schema.HeaderPoisonTries, strconv.Itoa(tries+1))
		return next(msg)
	}
}
