package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

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
