package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// PoisonTopic is the topic under which a handler's poisoned messages are kept.
const PoisonTopic = "poison"

// Config tunes the handlers. The zero value is ready for use.
type Config struct {
	// MaxRetries is how often a failing event is tried again before it is
	// poisoned. Default: 5.
	MaxRetries int
	// RetryInterval is the first wait between tries; it doubles up to twenty
	// times its value. Default: 50 ms.
	RetryInterval time.Duration
	// SlowAfter is the duration from which handling an event is logged as a
	// warning. Default: 500 ms, the guide's search for slow events.
	SlowAfter time.Duration
	// Registerer takes the metrics. Default: none.
	Registerer prometheus.Registerer
	// Failures counts the events that failed after all retries, by the labels
	// event_name and handler. Default: they are not counted.
	Failures *prometheus.CounterVec
}

func (c *Config) setDefaults() {
	if c.MaxRetries == 0 {
		c.MaxRetries = 5
	}
	if c.RetryInterval == 0 {
		c.RetryInterval = 50 * time.Millisecond
	}
	if c.SlowAfter == 0 {
		c.SlowAfter = 500 * time.Millisecond
	}
}

// Subscribers makes the subscriber of one handler: each has a queue of its own,
// so that every projection gets every event.
type Subscribers func(handlerName string) (message.Subscriber, error)

// Plugin returns a router plugin that adds one handler a projection. poison
// takes the messages that a handler gives up.
func Plugin(
	store *readmodel.Store, subscribers Subscribers, poison message.Publisher, logger *slog.Logger, config Config,
) (message.RouterPlugin, error) {
	config.setDefaults()
	metrics, err := newMetrics(store, config.Registerer, config.Failures)
	if err != nil {
		return nil, err
	}
	return func(router *message.Router) error {
		for _, p := range readmodel.Projections() {
			h := &handler{projection: p, store: store, logger: logger, metrics: metrics, slowAfter: config.SlowAfter}
			if err := add(router, h, subscribers, poison, config); err != nil {
				return fmt.Errorf("add %s: %w", p.HandlerName(), err)
			}
		}
		return nil
	}, nil
}

func add(router *message.Router, h *handler, subscribers Subscribers, poison message.Publisher, config Config) error {
	name := h.projection.HandlerName()
	subscriber, err := subscribers(name)
	if err != nil {
		return err
	}
	poisoned, err := middleware.PoisonQueueWithFilter(poison, PoisonTopic, isPoison)
	if err != nil {
		return err
	}
	retry := middleware.Retry{
		MaxRetries:      config.MaxRetries,
		InitialInterval: config.RetryInterval,
		MaxInterval:     20 * config.RetryInterval,
		Multiplier:      2,
		ShouldRetry:     func(p middleware.RetryParams) bool { return !schema.Unreadable(p.Err) },
	}
	router.AddConsumerHandler(name, schema.Topic, subscriber, h.handle).
		AddMiddleware(poisoned, h.observeFailure, retry.Middleware, middleware.Recoverer)
	return nil
}

// isPoison says whether an event that keeps failing is set aside. A shutdown, a
// rebuild or a database that is away tells nothing about the event: it comes again.
func isPoison(err error) bool {
	var rebuilding *readmodel.RebuildingError
	return !errors.As(err, &rebuilding) && !errors.Is(err, context.Canceled) && !readmodel.Unavailable(err)
}
