package projection

import (
	"context"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// handler applies the events to all projections.
type handler struct {
	store     *readmodel.Store
	batches   *batcher
	logger    *slog.Logger
	metrics   *metrics
	slowAfter time.Duration
}

func newHandler(store *readmodel.Store, logger *slog.Logger, metrics *metrics, slowAfter time.Duration) *handler {
	h := &handler{store: store, logger: logger, metrics: metrics, slowAfter: slowAfter}
	h.batches = &batcher{apply: h.apply}
	return h
}

func (h *handler) handle(msg *message.Message) error {
	start := time.Now()
	event, err := schema.DecodeMessage(msg.UUID, msg.Metadata, msg.Payload)
	if err != nil {
		return err
	}
	if err := h.batches.do(msg.Context(), event); err != nil {
		return err
	}
	h.log(msg.Context(), event, time.Since(start))
	return nil
}

// apply applies a batch and observes what was new.
func (h *handler) apply(ctx context.Context, events []schema.Recorded) []error {
	applied, errs := h.store.ApplyEach(ctx, events)
	h.metrics.batch(len(events))
	now := time.Now()
	for _, a := range applied {
		for _, e := range a.Events {
			h.metrics.processed(a.Projection.ID, e, now)
		}
	}
	return errs
}

func (h *handler) log(ctx context.Context, event schema.Recorded, took time.Duration) {
	level := slog.LevelDebug
	if took > h.slowAfter {
		level = slog.LevelWarn
	}
	if !h.logger.Enabled(ctx, level) {
		return
	}
	h.logger.Log(ctx, level, "event projected",
		"Component", "ProjectionWorker", "EventType", event.Event.EventName(),
		"ProcessingDurationMs", float64(took.Microseconds())/1000,
		"CorrelationId", event.Metadata.CorrelationID,
		"queueId", event.Metadata.AggregateID, "version", event.Metadata.Version)
}

// observeFailure logs an event that failed after all retries, for each projection that
// failed on it, and counts it where it is given up.
func (h *handler) observeFailure(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		produced, err := next(msg)
		if err == nil {
			return produced, nil
		}
		poisoned := isPoison(err)
		for _, p := range culprits(err) {
			if poisoned {
				h.metrics.failed(msg.Metadata.Get(schema.HeaderEventName), p.HandlerName())
			}
			h.logger.ErrorContext(msg.Context(), "an event could not be projected",
				"Component", "ProjectionWorker", "EventType", "ProjectionError",
				"eventName", msg.Metadata.Get(schema.HeaderEventName), "eventId", msg.UUID,
				"CorrelationId", msg.Metadata.Get(schema.HeaderCorrelationID), "projection", p.ID,
				"queueId", msg.Metadata.Get(schema.HeaderAggregateID), "poisoned", poisoned, "error", err)
		}
		return produced, err
	}
}
