package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/handlers/poison"
	"github.com/rlapp/rlapp/readmodel"
)

type poisonGroupsRequest struct {
	After string `query:"after" maxLength:"128" doc:"Return the groups behind this one; next of the answer before."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Most groups to return."`
}

type poisonGroup struct {
	Group     string    `json:"group" doc:"Names the group: one handler, one kind of event, one reason but for ids and numbers in it." example:"3f9a1c2b7d604e58"`
	Handler   string    `json:"handler" example:"plugin.notifications.tell-patient"`
	EventName *string   `json:"eventName" example:"PatientAbsentAtCashier"`
	Reason    string    `json:"reason" doc:"That of the newest message." example:"the notification service answers 500"`
	Waiting   int64     `json:"waiting" doc:"Messages that wait for a person." example:"3"`
	Count     int64     `json:"count" doc:"Messages in all." example:"5"`
	FirstSeen time.Time `json:"firstSeen" example:"2026-02-19T09:41:00Z"`
	LastSeen  time.Time `json:"lastSeen" example:"2026-02-19T10:12:00Z"`
}

type poisonGroupsResponse struct {
	Body struct {
		Groups []poisonGroup `json:"groups" nullable:"false" doc:"Those with the most waiting messages first; among equals those seen last."`
		Next   string        `json:"next,omitempty" doc:"Where the next page starts; absent on the last." example:"12.1771495201000000.3f9a1c2b7d604e58"`
	}
}

type poisonRequest struct {
	Status  string `query:"status" enum:"WAITING,REPLAYING,REPLAYED,DISCARDED" doc:"Messages in this state; all unless given."`
	Handler string `query:"handler" maxLength:"256" doc:"Messages of this handler; all unless given." example:"projection.monitor"`
	Group   string `query:"group" maxLength:"64" doc:"Messages of this group; all unless given." example:"3f9a1c2b7d604e58"`
	After   int64  `query:"after" minimum:"0" default:"0" doc:"Return the messages behind this id; nextAfter of the answer before."`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Most messages to return."`
}

type poisonMessageRequest struct {
	ID int64 `path:"id" minimum:"1" doc:"The message's id in the poison store." example:"42"`
}

type poisonMessageOrder struct {
	ID   int64 `path:"id" minimum:"1" doc:"The message's id in the poison store." example:"42"`
	Body By
}

type poisonKindOrder struct {
	Body struct {
		By
		Handler string `json:"handler,omitempty" maxLength:"256" doc:"Messages of this handler; all unless given." example:"projection.monitor"`
		Group   string `json:"group,omitempty" maxLength:"64" doc:"Messages of this group; all unless given." example:"3f9a1c2b7d604e58"`
	}
}

type poisonMessage struct {
	ID          int64             `json:"id" example:"42"`
	MessageID   string            `json:"messageId" example:"7d3c1f0a-52b6-4c1e-8a94-0f6d2b9e4c55"`
	Handler     string            `json:"handler" doc:"Who gave it up." example:"plugin.notifications.tell-patient"`
	EventName   *string           `json:"eventName" example:"PatientAbsentAtCashier"`
	AggregateID *string           `json:"aggregateId" example:"queue-1"`
	Reason      string            `json:"reason" example:"the notification service answers 500"`
	Attempts    int               `json:"attempts" doc:"How often it was tried." example:"4"`
	Group       string            `json:"group" example:"3f9a1c2b7d604e58"`
	Status      string            `json:"status" enum:"WAITING,REPLAYING,REPLAYED,DISCARDED" doc:"REPLAYING: ordered; REPLAYED: handed to its handler again. One that fails again waits again." example:"WAITING"`
	CreatedAt   time.Time         `json:"createdAt" doc:"When it was given up last." example:"2026-02-19T10:12:00Z"`
	SettledAt   *time.Time        `json:"settledAt" doc:"When it was replayed or discarded." example:"2026-02-19T11:00:00Z"`
	Stack       string            `json:"stack,omitempty" doc:"That of a panic; only when one message is asked for." example:"goroutine 42 [running]: …"`
	Metadata    map[string]string `json:"metadata,omitempty" doc:"Its headers; only when one message is asked for." example:"{\"event_name\":\"PatientAbsentAtCashier\",\"aggregate_id\":\"queue-1\",\"version\":\"42\"}"`
	Payload     any               `json:"payload,omitempty" doc:"Its content, as JSON where it is; only when one message is asked for." example:"{\"queueId\":\"queue-1\",\"patientId\":\"patient-1\",\"retryNumber\":1}"`
}

type poisonResponse struct {
	Body struct {
		Messages  []poisonMessage `json:"messages" nullable:"false" doc:"Oldest first."`
		NextAfter int64           `json:"nextAfter,omitempty" doc:"Where the next page starts; absent on the last." example:"42"`
	}
}

type poisonMessageResponse struct{ Body poisonMessage }

type rehearsalRequest struct {
	Body struct {
		Handler string `json:"handler,omitempty" maxLength:"256" doc:"Messages of this handler; all unless given." example:"projection.monitor"`
		Group   string `json:"group,omitempty" maxLength:"64" doc:"Messages of this group; all unless given." example:"3f9a1c2b7d604e58"`
		Limit   int    `json:"limit,omitempty" minimum:"1" maximum:"500" default:"100" doc:"Most messages to rehearse, oldest first." example:"100"`
	}
}

type rehearsed struct {
	ID      int64  `json:"id" example:"42"`
	Handler string `json:"handler" example:"plugin.notifications.tell-patient"`
	Outcome string `json:"outcome" enum:"WOULD_SUCCEED,WOULD_FAIL,NOT_REHEARSABLE" example:"WOULD_FAIL"`
	Reason  string `json:"reason,omitempty" doc:"Why it would fail, or cannot be rehearsed." example:"the notification service answers 500"`
}

type rehearsalResponse struct {
	Body struct {
		WouldSucceed   int         `json:"wouldSucceed" example:"2"`
		WouldFail      int         `json:"wouldFail" example:"1"`
		NotRehearsable int         `json:"notRehearsable" doc:"Of handlers whose work cannot be undone: only plugin.OnTx and the projections can be rehearsed." example:"0"`
		Messages       []rehearsed `json:"messages" nullable:"false" doc:"Oldest first."`
	}
}

func (a *api) poisonRoutes(h huma.API) {
	huma.Register(h, operation("poison-groups", http.MethodGet, "/api/poison/groups", "Operations",
		"What handlers gave up, by reason", "One entry for each handler, kind of event and reason."), a.poisonGroups)
	huma.Register(h, operation("poison", http.MethodGet, "/api/poison", "Operations",
		"The messages that handlers gave up", "Without their content."), a.poison)
	huma.Register(h, operation("poison-message", http.MethodGet, "/api/poison/{id}", "Operations",
		"One message that a handler gave up", "With its content, headers and stack.",
		http.StatusNotFound), a.poisonMessage)
	huma.Register(h, operation("poison-replay", http.MethodPost, "/api/poison/replay", "Operations",
		"Hand waiting messages to their handlers again", "All of a kind, each to the handler that gave it up and to no other. Ordered twice they are replayed once."), a.replayPoison)
	huma.Register(h, operation("poison-discard", http.MethodPost, "/api/poison/discard", "Operations",
		"Give waiting messages up", "All of a kind. They stay to be looked at."), a.discardPoison)
	huma.Register(h, operation("poison-rehearse", http.MethodPost, "/api/poison/rehearse", "Operations",
		"Tell what a replay would do", "Runs the handlers, as they are in this process, on waiting messages in transactions that are rolled back. Each message is rehearsed as if it were the only one."), a.rehearsePoison)
	errs := []int{http.StatusNotFound, http.StatusConflict}
	huma.Register(h, operation("poison-replay-message", http.MethodPost, "/api/poison/{id}/replay", "Operations",
		"Hand one waiting message to its handler again", "To the handler that gave it up and to no other. Ordered twice it is replayed once.", errs...), a.replayPoisonMessage)
	huma.Register(h, operation("poison-discard-message", http.MethodPost, "/api/poison/{id}/discard", "Operations",
		"Give one waiting message up", "It stays to be looked at.", errs...), a.discardPoisonMessage)
}

func (a *api) poisonGroups(ctx context.Context, r *poisonGroupsRequest) (*poisonGroupsResponse, error) {
	after, ok := parseGroupCursor(r.After)
	if !ok {
		return nil, fieldError(ctx, "query.after", "must be next of the answer before")
	}
	groups, err := a.views.PoisonGroups(ctx, after, r.Limit+1)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	groups, more := page(groups, r.Limit)
	response := &poisonGroupsResponse{}
	if more {
		response.Body.Next = groupCursor(groups[len(groups)-1])
	}
	response.Body.Groups = make([]poisonGroup, len(groups))
	for i, g := range groups {
		response.Body.Groups[i] = poisonGroup(g)
	}
	return response, nil
}

// groupCursor names a group with where it stands in the list, which may be another place
// or none when the next page is asked for.
func groupCursor(g readmodel.PoisonGroup) string {
	return fmt.Sprintf("%d.%d.%s", g.Waiting, g.LastSeen.UnixMicro(), g.Group)
}

func parseGroupCursor(cursor string) (g readmodel.PoisonGroup, ok bool) {
	if cursor == "" {
		return g, true
	}
	parts := strings.SplitN(cursor, ".", 3)
	if len(parts) != 3 {
		return g, false
	}
	waiting, waitingErr := strconv.ParseInt(parts[0], 10, 64)
	seen, seenErr := strconv.ParseInt(parts[1], 10, 64)
	return readmodel.PoisonGroup{Waiting: waiting, LastSeen: time.UnixMicro(seen), Group: parts[2]}, waiting > 0 && errors.Join(waitingErr, seenErr) == nil
}

func (a *api) poison(ctx context.Context, r *poisonRequest) (*poisonResponse, error) {
	messages, err := a.views.PoisonMessages(ctx, readmodel.PoisonKind{Status: r.Status, Handler: r.Handler, Group: r.Group}, r.After, r.Limit+1)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	messages, more := page(messages, r.Limit)
	response := &poisonResponse{}
	response.Body.Messages = make([]poisonMessage, len(messages))
	for i, m := range messages {
		response.Body.Messages[i] = toPoisonMessage(m)
	}
	if more {
		response.Body.NextAfter = messages[len(messages)-1].ID
	}
	return response, nil
}

func (a *api) poisonMessage(ctx context.Context, r *poisonMessageRequest) (*poisonMessageResponse, error) {
	m, err := a.views.PoisonMessage(ctx, r.ID)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	response := &poisonMessageResponse{Body: toPoisonMessage(m.PoisonMessage)}
	response.Body.Stack, response.Body.Metadata = m.Stack, m.Metadata
	if json.Valid(m.Payload) {
		response.Body.Payload = json.RawMessage(m.Payload)
	} else {
		response.Body.Payload = m.Payload // base64
	}
	return response, nil
}

func toPoisonMessage(m readmodel.PoisonMessage) poisonMessage {
	return poisonMessage{
		ID: m.ID, MessageID: m.MessageID, Handler: m.Handler, EventName: m.EventName, AggregateID: m.QueueID, Reason: m.Reason,
		Attempts: m.Attempts, Group: m.Group, Status: m.Status, CreatedAt: m.CreatedAt, SettledAt: m.SettledAt,
	}
}

func (a *api) replayPoison(ctx context.Context, r *poisonKindOrder) (*operatorResponse, error) {
	changed, err := a.views.ReplayPoison(ctx, readmodel.PoisonKind{Handler: r.Body.Handler, Group: r.Body.Group}, r.Body.as())
	return a.acted(ctx, "messages are replayed", changed, err)
}

func (a *api) discardPoison(ctx context.Context, r *poisonKindOrder) (*operatorResponse, error) {
	changed, err := a.views.DiscardPoison(ctx, readmodel.PoisonKind{Handler: r.Body.Handler, Group: r.Body.Group}, r.Body.as())
	return a.acted(ctx, "messages are discarded", changed, err)
}

func (a *api) replayPoisonMessage(ctx context.Context, r *poisonMessageOrder) (*operatorResponse, error) {
	return a.acted(ctx, "the message is replayed", 1, a.views.ReplayPoisonMessage(ctx, r.ID, r.Body.as()))
}

func (a *api) discardPoisonMessage(ctx context.Context, r *poisonMessageOrder) (*operatorResponse, error) {
	return a.acted(ctx, "the message is discarded", 1, a.views.DiscardPoisonMessage(ctx, r.ID, r.Body.as()))
}

func (a *api) rehearsePoison(ctx context.Context, r *rehearsalRequest) (*rehearsalResponse, error) {
	const waiting = "WAITING"
	kind := readmodel.PoisonKind{Status: waiting, Handler: r.Body.Handler, Group: r.Body.Group}
	listed, err := a.views.PoisonMessages(ctx, kind, 0, r.Body.Limit)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	response := &rehearsalResponse{}
	response.Body.Messages = make([]rehearsed, 0, len(listed))
	for _, l := range listed {
		// One content at a time: together they may be more than the memory holds.
		m, err := a.views.PoisonMessage(ctx, l.ID)
		var gone *readmodel.NotFoundError
		if errors.As(err, &gone) || err == nil && m.Status != waiting {
			continue // somebody settled it meanwhile
		}
		if err != nil {
			return nil, a.fail(ctx, err)
		}
		err = a.config.Rehearsals.Rehearse(ctx, m.Handler, m.MessageID, m.Metadata, m.Payload)
		if ctx.Err() != nil {
			return nil, a.fail(ctx, ctx.Err())
		}
		one := rehearsed{ID: m.ID, Handler: m.Handler}
		switch {
		case err == nil:
			one.Outcome = "WOULD_SUCCEED"
			response.Body.WouldSucceed++
		case errors.Is(err, poison.ErrNotRehearsable):
			one.Outcome, one.Reason = "NOT_REHEARSABLE", err.Error()
			response.Body.NotRehearsable++
		default:
			one.Outcome, one.Reason = "WOULD_FAIL", err.Error()
			response.Body.WouldFail++
		}
		response.Body.Messages = append(response.Body.Messages, one)
	}
	return response, nil
}
