package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/readmodel"
)

// By is who acts; it is recorded with what was done. It is exported because huma leaves
// out embedded structs that are not.
type By struct {
	Actor  string `json:"actor,omitempty" maxLength:"128" doc:"Who does it; recorded. Needed unless the caller is authenticated; then it is the caller, whatever stands here." example:"ada"`
	Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why; recorded." example:"the binding is back"`
}

// Resolve implements huma.ResolverWithPath.
func (b *By) Resolve(ctx huma.Context, prefix *huma.PathBuffer) []error {
	return resolveActor(ctx, &b.Actor, prefix.With("actor"))
}

func (b By) as() readmodel.Operator { return readmodel.Operator{Actor: b.Actor, Reason: b.Reason} }

// ByQuery is By for an order without a body.
type ByQuery struct {
	Actor  string `query:"actor" maxLength:"128" default:"anonymous" doc:"Who does it; recorded."`
	Reason string `query:"reason" maxLength:"1000" doc:"Why; recorded."`
}

// Resolve implements huma.Resolver.
func (b *ByQuery) Resolve(ctx huma.Context) []error {
	return resolveActor(ctx, &b.Actor, "query.actor")
}

func (b ByQuery) as() readmodel.Operator { return readmodel.Operator(b) }

// resolveActor puts in who is authenticated, or checks who is named.
func resolveActor(ctx huma.Context, actor *string, location string) []error {
	if identity, known := identityOf(ctx.Context()); known {
		*actor = identity.Name
		return nil
	}
	*actor = strings.TrimSpace(*actor)
	if fault := actorFault(*actor); fault != "" {
		return []error{&huma.ErrorDetail{Location: location, Message: fault}}
	}
	return nil
}

// operatorResponse is the answer to an operator's order.
type operatorResponse struct {
	Body struct {
		Success       bool   `json:"success" example:"true"`
		Message       string `json:"message" doc:"What was done." example:"the event is tried again"`
		CorrelationID string `json:"correlationId" example:"0b8f5f0e-6c2a-4f0e-9b57-1d0e8f3f6e0f"`
		Changed       int64  `json:"changed" doc:"Number of events that were changed." example:"1"`
	}
}

// acted is the answer to an operator.
func (a *api) acted(ctx context.Context, message string, changed int64, err error) (*operatorResponse, error) {
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	response := &operatorResponse{}
	response.Body.Success, response.Body.Message, response.Body.Changed = true, message, changed
	response.Body.CorrelationID = correlationID(ctx)
	return response, nil
}

type actionsRequest struct {
	Before int64 `query:"before" minimum:"0" default:"0" doc:"Return the actions before this id; nextBefore of the answer before."`
	Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Most actions to return."`
}

type operatorAction struct {
	ID      int64     `json:"id" example:"7"`
	Actor   string    `json:"actor" example:"ada"`
	Action  string    `json:"action" doc:"What was done." example:"outbox.retry"`
	Target  string    `json:"target" doc:"What it was done to: an id, or the kind." example:"42"`
	Reason  string    `json:"reason" example:"the binding is back"`
	Changed int64     `json:"changed" doc:"How many it changed." example:"1"`
	TakenAt time.Time `json:"takenAt" example:"2026-02-19T10:12:31Z"`
}

type actionsResponse struct {
	Body struct {
		Actions    []operatorAction `json:"actions" nullable:"false" doc:"Newest first."`
		NextBefore int64            `json:"nextBefore,omitempty" doc:"Where the next page starts; absent on the last." example:"7"`
	}
}

func (a *api) operatorRoutes(h huma.API) {
	huma.Register(h, operation("operator-actions", http.MethodGet, "/api/operator-actions", "Operations",
		"What operators did", "Who, when, what and why."), a.operatorActions)
}

func (a *api) operatorActions(ctx context.Context, r *actionsRequest) (*actionsResponse, error) {
	actions, err := a.views.OperatorActions(ctx, r.Before, r.Limit+1)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	actions, more := page(actions, r.Limit)
	response := &actionsResponse{}
	response.Body.Actions = make([]operatorAction, len(actions))
	for i, one := range actions {
		response.Body.Actions[i] = operatorAction(one)
	}
	if more {
		response.Body.NextBefore = actions[len(actions)-1].ID
	}
	return response, nil
}
