package plugin

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/handlers/poison"
	"github.com/rlapp/rlapp/schema"
)

// Config tunes all handlers. The zero value is ready for use.
type Config struct {
	// MaxRetries is how often a failing event is tried again. Default: 5.
	MaxRetries int
	// RetryInterval is the first wait between tries; it doubles up to twenty
	// times its value. Default: 50 ms.
	RetryInterval time.Duration
	// Failures counts the events that were given up after all retries, by the labels
	// event_name and handler. Default: they are not counted.
	Failures *prometheus.CounterVec
	// Transactions runs the handlers that OnTx made. Required where there is one.
	Transactions Transactions
	// IsPassing says that an error of the database tells nothing about the event, as when
	// the database is away: what OnTx made gets the event again then. Default: no error is.
	IsPassing func(error) bool
	// Marks notes what the handlers are done with, for CatchUp. Default: nothing does, as
	// where the transport loses nothing.
	Marks *Marks
}

// Subscribers makes the subscriber of one queue.
type Subscribers func(Queue) (message.Subscriber, error)

// Register returns a router plugin that adds the handlers of all plugins, or what
// Validate says of them, or that Config.Transactions is missing. The router plugin, which
// the router runs at its start, fails where a subscriber cannot be made. store takes the
// events that a handler gives up.
func Register(
	plugins []Plugin, subscribers Subscribers, store message.Publisher, logger *slog.Logger, config Config,
) (message.RouterPlugin, error) {
	if err := Validate(plugins); err != nil {
		return nil, err
	}
	if err := needTransactions(plugins, config.Transactions); err != nil {
		return nil, err
	}
	return func(router *message.Router) error {
		for _, p := range plugins {
			for _, h := range p.Handlers {
				r := registration{Handler: h, queue: p.queue(h), logger: logger, config: config}
				if err := r.add(router, subscribers, store); err != nil {
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

func (r registration) add(router *message.Router, subscribers Subscribers, store message.Publisher) error {
	subscriber, err := subscribers(r.queue)
	if err != nil {
		return err
	}
	observers := []message.HandlerMiddleware{r.observeFailure}
	if r.config.Marks != nil {
		observers = append(observers, r.leaveDone)
	}
	around, err := poison.Middlewares(r.queue.Handler, store,
		poison.Config{MaxRetries: r.config.MaxRetries, RetryInterval: r.config.RetryInterval, IsPoison: isPoison}, observers...)
	if err != nil {
		return err
	}
	if r.config.Marks != nil {
		around = append([]message.HandlerMiddleware{r.mark}, around...)
	}
	router.AddConsumerHandler(r.queue.Handler, schema.Topic, subscriber, r.receive).AddMiddleware(around...)
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
	if err := r.do(msg.Context(), e); err != nil {
		return err
	}
	r.logger.DebugContext(msg.Context(), "event handled", "Component", r.queue.Handler, "EventType", r.event,
		"CorrelationId", e.Metadata.CorrelationID, "queueId", e.Metadata.AggregateID,
		"ProcessingDurationMs", float64(time.Since(start).Microseconds())/1000)
	return nil
}

func (r registration) do(ctx context.Context, e schema.Recorded) error {
	if r.handleTx == nil {
		return r.handle(ctx, e)
	}
	return r.inTransaction(ctx, e)
}

func (r registration) observeFailure(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		produced, err := next(msg)
		if err != nil {
			poisoned := isPoison(err)
			if r.config.Failures != nil && poisoned {
				r.config.Failures.WithLabelValues(r.event, r.queue.Handler).Inc()
			}
			r.logger.ErrorContext(msg.Context(), "a plugin could not handle an event", "Component", r.queue.Handler,
				"EventType", r.event, "eventId", msg.UUID, "CorrelationId", msg.Metadata.Get(schema.HeaderCorrelationID),
				"queueId", msg.Metadata.Get(schema.HeaderAggregateID), "poisoned", poisoned, "error", err)
		}
		return produced, err
	}
}
