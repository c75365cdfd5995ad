package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

type retentionRunsRequest struct {
	Before int64 `query:"before" minimum:"0" default:"0" doc:"Return the runs before this id; nextBefore of the answer before."`
	Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"10" doc:"Most runs to return."`
}

type retentionRun struct {
	ID             int64      `json:"id" example:"7"`
	StartedAt      time.Time  `json:"startedAt" example:"2026-02-19T02:00:00Z"`
	EndedAt        *time.Time `json:"endedAt" doc:"Null while it runs, and after a kill until the next run." example:"2026-02-19T02:00:41Z"`
	ArchivedEvents int64      `json:"archivedEvents" example:"120000"`
	HeldQueues     int64      `json:"heldQueues" doc:"Queues of which old events stayed, since a patient has not been completed or cancelled for that long." example:"1"`
	PrunedLagRows  int64      `json:"prunedLagRows" example:"45000"`
	PrunedOutbox   int64      `json:"prunedOutbox" example:"9800"`
	PrunedPoison   int64      `json:"prunedPoison" doc:"Poisoned messages that were replayed or discarded." example:"12"`
	Error          *string    `json:"error" doc:"What failed; the rest was done." example:"prune the outbox: the database is away"`
}

type retentionRunsResponse struct {
	Body struct {
		Runs       []retentionRun `json:"runs" nullable:"false" doc:"Newest first."`
		NextBefore int64          `json:"nextBefore,omitempty" doc:"Where the next page starts; absent on the last." example:"30"`
	}
}

type retentionStartRequest struct{ Body By }

func (a *api) retentionRoutes(h huma.API) {
	huma.Register(h, operation("retention-runs", http.MethodGet, "/api/retention", "Operations",
		"What was archived and pruned", "By schedule, or when an operator asked."), a.retentionRuns)
	start := operation("retention-start", http.MethodPost, "/api/retention", "Operations",
		"Archive and prune now", "Works in the background; follow it with a GET.")
	start.DefaultStatus = http.StatusAccepted
	huma.Register(h, start, a.startRetention)
}

func (a *api) retentionRuns(ctx context.Context, r *retentionRunsRequest) (*retentionRunsResponse, error) {
	runs, err := a.views.RetentionRuns(ctx, r.Before, r.Limit+1)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	runs, more := page(runs, r.Limit)
	response := &retentionRunsResponse{}
	if more {
		response.Body.NextBefore = runs[len(runs)-1].ID
	}
	response.Body.Runs = make([]retentionRun, len(runs))
	for i, one := range runs {
		response.Body.Runs[i] = retentionRun(one)
	}
	return response, nil
}

func (a *api) startRetention(ctx context.Context, r *retentionStartRequest) (*operatorResponse, error) {
	err := a.views.RecordAction(ctx, r.Body.as(), "retention.start", "all")
	if err == nil {
		a.config.Retain()
	}
	return a.acted(ctx, "archiving and pruning started", 1, err)
}
