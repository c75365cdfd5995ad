package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

type outboxRequest struct {
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Most events to return."`
}

type pendingEvent struct {
	ID            int64      `json:"id"`
	EventID       string     `json:"eventId"`
	AggregateID   string     `json:"aggregateId"`
	EventName     string     `json:"eventName"`
	Status        string     `json:"status" enum:"PENDING,FAILED,PARKED" doc:"PARKED waits for a person."`
	RetryCount    int        `json:"retryCount"`
	LastError     *string    `json:"lastError"`
	LastFailedAt  *time.Time `json:"lastFailedAt"`
	NextAttemptAt *time.Time `json:"nextAttemptAt"`
	CreatedAt     time.Time  `json:"createdAt"`
}

type outboxResponse struct {
	Body struct {
		Count  int64          `json:"count" doc:"Events that wait to be published, in all."`
		Events []pendingEvent `json:"events" nullable:"false" doc:"The oldest of them."`
	}
}

func (a *api) outboxRoutes(h huma.API) {
	huma.Register(h, operation("outbox-pending", http.MethodGet, "/api/outbox/pending", "Operations",
		"Events that wait to be published", "Empty while the worker keeps up.",
		http.StatusUnprocessableEntity), a.pendingOutbox)
}

func (a *api) pendingOutbox(ctx context.Context, r *outboxRequest) (*outboxResponse, error) {
	events, total, err := a.views.PendingOutbox(ctx, r.Limit)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	response := &outboxResponse{}
	response.Body.Count = total
	response.Body.Events = make([]pendingEvent, len(events))
	for i, e := range events {
		response.Body.Events[i] = pendingEvent{
			ID: e.ID, EventID: e.EventID, AggregateID: e.QueueID, EventName: e.EventName, Status: e.Status, RetryCount: e.RetryCount,
			LastError: e.LastError, LastFailedAt: e.LastFailedAt, NextAttemptAt: e.NextAttemptAt, CreatedAt: e.CreatedAt,
		}
	}
	return response, nil
}
