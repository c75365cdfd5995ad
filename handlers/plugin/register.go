package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/schema"
)

// PoisonTopic is the topic under which the events that a handler gave up are kept.
const PoisonTopic = "poison"

// Config tunes all handlers. The zero value is ready for use.
type Config struct {
	// MaxRetries is how often a failing event is tried again. Default: 5.
	MaxRetries int
	// RetryInterval is the first wait between tries; it doubles up to twenty
	// times its value. Default: 50 ms.
	RetryInterval time.Duration
	// Failures counts the events that failed after all retries, by the labels
	// event_name and handler. Default: they are not counted.
	Failures *prometheus.CounterVec
}

// Subscribers makes the subscriber of one queue.
type Subscribers func(Queue) (message.Subscriber, error)

// Register returns a router plugin that adds the handlers of all plugins, or
// every mistake in them. poison takes the events that a handler gives up.
func Register(
	plugins []Plugin, subscribers Subscribers, poison message.Publisher, logger *slog.Logger, config Config,
) (message.RouterPlugin, error) {
	if config.MaxRetries == 0 {
		config.MaxRetries = 5
	}
	if config.RetryInterval == 0 {
		config.RetryInterval = 50 * time.Millisecond
	}
	if err := Validate(plugins); err != nil {
		return nil, err
	}
	return func(router *message.Router) error {
		for _, p := range plugins {
			for _, h := range p.Handlers {
				r := registration{Handler: h, queue: p.queue(h), logger: logger, config: config}
				if err := r.add(router, subscribers, poison); err != nil {
					return fmt.Errorf("add %s: %w", r.queue.Handler, err)
				}
			}
		}
		return nil
	}, nil
}

// registration is a handler with what surrounds it.
type registration struct {
	Handler
	queue  Queue
	logger *slog.Logger
	config Config
}

func (r registration) add(router *message.Router, subscribers Subscribers, poison message.Publisher) error {
	subscriber, err := subscribers(r.queue)
	if err != nil {
		return err
	}
	// A shutdown tells nothing about the event: it comes again.
	poisoned, err := middleware.PoisonQueueWithFilter(poison, PoisonTopic, func(err error) bool {
		return !errors.Is(err, context.Canceled)
	})
	if err != nil {
		return err
	}
	retry := middleware.Retry{
		MaxRetries:      r.config.MaxRetries,
		InitialInterval: r.config.RetryInterval,
		MaxInterval:     20 * r.config.RetryInterval,
		Multiplier:      2,
		ShouldRetry:     func(p middleware.RetryParams) bool { return !schema.Unreadable(p.Err) },
	}
	router.AddConsumerHandler(r.queue.Handler, schema.Topic, subscriber, r.receive).
		AddMiddleware(poisoned, r.observeFailure, retry.Middleware, middleware.Recoverer)
	return nil
}

func (r registration) receive(msg *message.Message) error {
	if msg.Metadata.Get(schema.HeaderEventName) != r.event {
		return nil // the in-process transport hands everything to everyone
	}
	e, err := schema.DecodeMessage(msg.UUID, msg.Metadata, msg.Payload)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := r.handle(msg.Context(), e); err != nil {
		return err
	}
	r.logger.DebugContext(msg.Context(), "event handled", "Component", r.queue.Handler, "EventType", r.event,
		"CorrelationId", e.Metadata.CorrelationID, "queueId", e.Metadata.AggregateID,
		"ProcessingDurationMs", float64(time.Since(start).Microseconds())/1000)
	return nil
}

func (r registration) observeFailure(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		produced, err := next(msg)
		if err != nil {
			if r.config.Failures != nil {
				r.config.Failures.WithLabelValues(r.event, r.queue.Handler).Inc()
			}
			r.logger.ErrorContext(msg.Context(), "a plugin could not handle an event", "Component", r.queue.Handler,
				"EventType", r.event, "eventId", msg.UUID, "CorrelationId", msg.Metadata.Get(schema.HeaderCorrelationID),
				"queueId", msg.Metadata.Get(schema.HeaderAggregateID), "error", err)
		}
		return produced, err
	}
}
