package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/readmodel"
)

type pendingRequest struct {
	After int64 `query:"after" minimum:"0" default:"0" doc:"Return the events behind this id; nextAfter of the answer before."`
	Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Most events to return."`
}

type outboxRequest struct {
	Status    string `query:"status" enum:"PENDING,FAILED,PARKED,UNROUTABLE,PUBLISHED,DISCARDED" doc:"Events in this state; all unless given."`
	EventName string `query:"eventName" maxLength:"128" doc:"Events of this name; all unless given." example:"PatientCheckedIn"`
	QueueID   string `query:"queueId" maxLength:"128" doc:"Events of this queue; all unless given." example:"queue-1"`
	After     int64  `query:"after" minimum:"0" default:"0" doc:"Return the events behind this id; nextAfter of the answer before."`
	Limit     int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Most events to return."`
}

type outboxEventRequest struct {
	ID int64 `path:"id" minimum:"1" doc:"The event's id in the outbox." example:"42"`
}

type retryEventRequest struct {
	ID   int64 `path:"id" minimum:"1" doc:"The event's id in the outbox." example:"42"`
	Body By
}

type discardEventRequest struct {
	ID   int64 `path:"id" minimum:"1" doc:"The event's id in the outbox." example:"42"`
	Body By
}

type retryKindRequest struct {
	Body struct {
		By
		Status    string `json:"status,omitempty" enum:"FAILED,PARKED,UNROUTABLE" doc:"Events in this state; all three unless given." example:"PARKED"`
		EventName string `json:"eventName,omitempty" maxLength:"128" doc:"Events of this name; all unless given." example:"PatientCheckedIn"`
		QueueID   string `json:"queueId,omitempty" maxLength:"128" doc:"Events of this queue; all unless given." example:"queue-1"`
	}
}

type outboxEvent struct {
	ID            int64      `json:"id" example:"42"`
	EventID       string     `json:"eventId" example:"7d3c1f0a-52b6-4c1e-8a94-0f6d2b9e4c55"`
	AggregateID   string     `json:"aggregateId" example:"queue-1"`
	EventName     string     `json:"eventName" example:"PatientCheckedIn"`
	Status        string     `json:"status" enum:"PENDING,FAILED,PARKED,UNROUTABLE,PUBLISHED,DISCARDED" doc:"PARKED waits for a person; UNROUTABLE does too, since no queue takes the event." example:"FAILED"`
	RetryCount    int        `json:"retryCount" example:"2"`
	LastError     *string    `json:"lastError" example:"RabbitMQ refused the event"`
	LastFailedAt  *time.Time `json:"lastFailedAt" example:"2026-02-19T10:12:00Z"`
	NextAttemptAt *time.Time `json:"nextAttemptAt" example:"2026-02-19T10:14:00Z"`
	ParkedAt      *time.Time `json:"parkedAt" example:"2026-02-19T11:44:30Z"`
	PublishedAt   *time.Time `json:"publishedAt" example:"2026-02-19T10:12:30Z"`
	DiscardedAt   *time.Time `json:"discardedAt" example:"2026-02-19T12:00:00Z"`
	CreatedAt     time.Time  `json:"createdAt" example:"2026-02-19T10:11:28Z"`
}

type pendingResponse struct {
	Body struct {
		Count     int64         `json:"count" doc:"Events that wait to be published, in all." example:"3"`
		Events    []outboxEvent `json:"events" nullable:"false" doc:"Oldest first."`
		NextAfter int64         `json:"nextAfter,omitempty" doc:"Where the next page starts; absent on the last." example:"4711"`
	}
}

type outboxResponse struct {
	Body struct {
		Events    []outboxEvent `json:"events" nullable:"false" doc:"Oldest first."`
		NextAfter int64         `json:"nextAfter,omitempty" doc:"Where the next page starts; absent on the last." example:"42"`
	}
}

type outboxEventResponse struct{ Body outboxEvent }

func (a *api) outboxRoutes(h huma.API) {
	huma.Register(h, operation("outbox-pending", http.MethodGet, "/api/outbox/pending", "Operations",
		"Events that wait to be published", "Empty while the worker keeps up."), a.pendingOutbox)
	huma.Register(h, operation("outbox", http.MethodGet, "/api/outbox", "Operations",
		"The events of the outbox", "Those that were published are there until OutboxDispatcher__RetentionHours."), a.outbox)
	huma.Register(h, operation("outbox-event", http.MethodGet, "/api/outbox/{id}", "Operations",
		"One event of the outbox", "With its last error.",
		http.StatusNotFound), a.outboxEvent)
	huma.Register(h, operation("outbox-retry", http.MethodPost, "/api/outbox/retry", "Operations",
		"Publish failed and parked events now", "All of a kind, at once. One that was parked gets all its attempts again."), a.retryOutbox)
	huma.Register(h, operation("outbox-retry-event", http.MethodPost, "/api/outbox/{id}/retry", "Operations",
		"Publish one failed or parked event now", "One that was parked gets all its attempts again.",
		http.StatusNotFound, http.StatusConflict), a.retryOutboxEvent)
	huma.Register(h, operation("outbox-discard-event", http.MethodPost, "/api/outbox/{id}/discard", "Operations",
		"Give a parked event up", "It is never published, and its queue's later events go on. It stays in the event store, and the projections read it from there.",
		http.StatusNotFound, http.StatusConflict), a.discardOutboxEvent)
}

func (a *api) pendingOutbox(ctx context.Context, r *pendingRequest) (*pendingResponse, error) {
	events, total, err := a.views.PendingOutbox(ctx, r.After, r.Limit+1)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	events, more := page(events, r.Limit)
	response := &pendingResponse{}
	response.Body.Count, response.Body.Events = total, toOutboxEvents(events)
	if more {
		response.Body.NextAfter = events[len(events)-1].ID
	}
	return response, nil
}

func (a *api) outbox(ctx context.Context, r *outboxRequest) (*outboxResponse, error) {
	kind := readmodel.OutboxKind{Status: r.Status, EventName: r.EventName, QueueID: r.QueueID}
	events, err := a.views.Outbox(ctx, kind, r.After, r.Limit+1)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	events, more := page(events, r.Limit)
	response := &outboxResponse{}
	response.Body.Events = toOutboxEvents(events)
	if more {
		response.Body.NextAfter = events[len(events)-1].ID
	}
	return response, nil
}

func (a *api) outboxEvent(ctx context.Context, r *outboxEventRequest) (*outboxEventResponse, error) {
	event, err := a.views.OutboxEvent(ctx, r.ID)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return &outboxEventResponse{Body: toOutboxEvent(event)}, nil
}

func (a *api) retryOutbox(ctx context.Context, r *retryKindRequest) (*operatorResponse, error) {
	kind := readmodel.OutboxKind{Status: r.Body.Status, EventName: r.Body.EventName, QueueID: r.Body.QueueID}
	changed, err := a.views.RetryOutbox(ctx, kind, r.Body.as())
	return a.acted(ctx, "events are tried again", changed, err)
}

func (a *api) retryOutboxEvent(ctx context.Context, r *retryEventRequest) (*operatorResponse, error) {
	return a.acted(ctx, "the event is tried again", 1, a.views.RetryOutboxEvent(ctx, r.ID, r.Body.as()))
}

func (a *api) discardOutboxEvent(ctx context.Context, r *discardEventRequest) (*operatorResponse, error) {
	if len(strings.TrimSpace(r.Body.Reason)) < minDiscardReason {
		return nil, fieldError(ctx, "body.reason", "must say in 3 characters or more why nobody needs the event")
	}
	return a.acted(ctx, "the event is discarded", 1, a.views.DiscardOutboxEvent(ctx, r.ID, r.Body.as()))
}

// minDiscardReason is the shortest reason to throw an event away, in bytes.
const minDiscardReason = 3

func toOutboxEvents(events []readmodel.OutboxEvent) []outboxEvent {
	all := make([]outboxEvent, len(events))
	for i, e := range events {
		all[i] = toOutboxEvent(e)
	}
	return all
}

func toOutboxEvent(e readmodel.OutboxEvent) outboxEvent {
	return outboxEvent{
		ID: e.ID, EventID: e.EventID, AggregateID: e.QueueID, EventName: e.EventName, Status: e.Status, RetryCount: e.RetryCount,
		LastError: e.LastError, LastFailedAt: e.LastFailedAt, NextAttemptAt: e.NextAttemptAt, ParkedAt: e.ParkedAt,
		PublishedAt: e.PublishedAt, DiscardedAt: e.DiscardedAt, CreatedAt: e.CreatedAt,
	}
}
