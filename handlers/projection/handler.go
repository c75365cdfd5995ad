package projection

import (
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// handler applies the events of one subscription to one projection.
type handler struct {
	projection readmodel.Projection
	store      *readmodel.Store
	logger     *slog.Logger
	metrics    *metrics
	slowAfter  time.Duration
}

func (h *handler) handle(msg *message.Message) error {
	start := time.Now()
	event, err := schema.DecodeMessage(msg.UUID, msg.Metadata, msg.Payload)
	if err != nil {
		return err
	}
	applied, err := h.store.Apply(msg.Context(), h.projection, event)
	if err != nil {
		return err
	}
	if applied > 0 {
		h.metrics.processed(h.projection.ID, event, time.Now())
	}
	h.log(msg, event, applied, time.Since(start))
	return nil
}

func (h *handler) log(msg *message.Message, event schema.Recorded, applied int, took time.Duration) {
	level := slog.LevelDebug
	if took > h.slowAfter {
		level = slog.LevelWarn
	}
	h.logger.Log(msg.Context(), level, "event projected",
		"Component", "ProjectionWorker", "EventType", event.Event.EventName(),
		"ProcessingDurationMs", float64(took.Microseconds())/1000,
		"CorrelationId", event.Metadata.CorrelationID, "projection", h.projection.ID,
		"queueId", event.Metadata.AggregateID, "version", event.Metadata.Version, "applied", applied)
}

// observeFailure counts and logs an event that failed after all retries.
func (h *handler) observeFailure(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		produced, err := next(msg)
		if err != nil {
			h.metrics.failed(msg.Metadata.Get(schema.HeaderEventName), h.projection.HandlerName())
			h.logger.ErrorContext(msg.Context(), "an event could not be projected",
				"Component", "ProjectionWorker", "EventType", "ProjectionError",
				"eventName", msg.Metadata.Get(schema.HeaderEventName), "eventId", msg.UUID,
				"CorrelationId", msg.Metadata.Get(schema.HeaderCorrelationID), "projection", h.projection.ID,
				"queueId", msg.Metadata.Get(schema.HeaderAggregateID), "poisoned", isPoison(err), "error", err)
		}
		return produced, err
	}
}
