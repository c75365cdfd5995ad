package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/readmodel"
)

type eventsRequest struct {
	AggregateID  string `path:"aggregateId" minLength:"1" maxLength:"128" doc:"The queue." example:"queue-1"`
	AfterVersion int64  `query:"afterVersion" minimum:"0" default:"0" doc:"Return the events behind this version; nextAfterVersion of the answer before."`
	Limit        int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Most events to return."`
}

type storedEvent struct {
	Position       int64     `json:"position" doc:"Global order of the event."`
	EventID        string    `json:"eventId"`
	EventName      string    `json:"eventName"`
	Version        int64     `json:"version" doc:"The queue's version after the event."`
	OccurredAt     time.Time `json:"occurredAt"`
	CorrelationID  string    `json:"correlationId"`
	CausationID    string    `json:"causationId,omitempty"`
	Actor          string    `json:"actor"`
	IdempotencyKey string    `json:"idempotencyKey,omitempty" doc:"That of the command, where it had one."`
	SchemaVersion  int       `json:"schemaVersion"`
	Payload        any       `json:"payload"`
}

type eventsResponse struct {
	Body struct {
		AggregateID      string        `json:"aggregateId"`
		Count            int           `json:"count" doc:"Events in this answer."`
		Events           []storedEvent `json:"events" nullable:"false"`
		NextAfterVersion int64         `json:"nextAfterVersion,omitempty" doc:"Where the next page starts; absent on the last."`
	}
}

func (a *api) eventRoutes(h huma.API) {
	huma.Register(h, operation("events", http.MethodGet, "/api/events/{aggregateId}", "Operations",
		"The stored events of a queue", "Reads the event store, oldest first.",
		http.StatusNotFound), a.events)
}

func (a *api) events(ctx context.Context, r *eventsRequest) (*eventsResponse, error) {
	events, err := a.views.EventsAfter(ctx, r.AggregateID, r.AfterVersion, r.Limit+1)
	if err == nil && len(events) == 0 && r.AfterVersion == 0 {
		err = &readmodel.NotFoundError{Kind: readmodel.KindQueue, ID: r.AggregateID}
	}
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	events, more := page(events, r.Limit)
	response := &eventsResponse{}
	b := &response.Body
	b.AggregateID, b.Count, b.Events = r.AggregateID, len(events), make([]storedEvent, len(events))
	for i, e := range events {
		m := e.Metadata
		b.Events[i] = storedEvent{
			Position: e.Position, EventID: m.EventID, EventName: e.Event.EventName(), Version: m.Version,
			OccurredAt: m.OccurredAt, CorrelationID: m.CorrelationID, CausationID: m.CausationID, Actor: m.Actor,
			IdempotencyKey: m.IdempotencyKey, SchemaVersion: m.SchemaVersion, Payload: e.Event,
		}
	}
	if more {
		b.NextAfterVersion = events[len(events)-1].Metadata.Version
	}
	return response, nil
}
