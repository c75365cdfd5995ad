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
	Position       int64     `json:"position" doc:"Global order of the event." example:"1042"`
	EventID        string    `json:"eventId" example:"7d3c1f0a-52b6-4c1e-8a94-0f6d2b9e4c55"`
	EventName      string    `json:"eventName" example:"PatientAbsentAtCashier"`
	Version        int64     `json:"version" doc:"The queue's version after the event." example:"42"`
	OccurredAt     time.Time `json:"occurredAt" example:"2026-02-19T10:12:30.123456Z"`
	CorrelationID  string    `json:"correlationId" example:"0b8f5f0e-6c2a-4f0e-9b57-1d0e8f3f6e0f"`
	CausationID    string    `json:"causationId,omitempty" example:"c2a1f7d4-3b0e-4d58-9e76-5a8b1c0d2e3f"`
	Actor          string    `json:"actor" example:"desk-1"`
	IdempotencyKey string    `json:"idempotencyKey,omitempty" doc:"That of the command, where it had one." example:"5f1b6c1e-0c3a-4b57-9d0e-8f3f6e0f7a11"`
	SchemaVersion  int       `json:"schemaVersion" example:"1"`
	Payload        any       `json:"payload" example:"{\"queueId\":\"queue-1\",\"patientId\":\"patient-1\",\"retryNumber\":1}"`
}

type eventsResponse struct {
	Body struct {
		AggregateID      string        `json:"aggregateId" example:"queue-1"`
		Count            int           `json:"count" doc:"Events in this answer." example:"1"`
		Events           []storedEvent `json:"events" nullable:"false"`
		NextAfterVersion int64         `json:"nextAfterVersion,omitempty" doc:"Where the next page starts; absent on the last." example:"42"`
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
