package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/readmodel"
)

type rebuildRequest struct {
	ProjectionID string `query:"projectionId" maxLength:"64" doc:"One projection; all unless given." example:"monitor"`
	ByQuery
}

type rebuildResponse struct {
	Body struct {
		Success       bool     `json:"success" example:"true"`
		Message       string   `json:"message" example:"rebuild started; follow it at /api/projections/{projectionId}/rebuild"`
		CorrelationID string   `json:"correlationId" example:"0b8f5f0e-6c2a-4f0e-9b57-1d0e8f3f6e0f"`
		Projections   []string `json:"projections" nullable:"false" doc:"Those whose rebuild has started." example:"monitor"`
	}
}

type rebuildState struct {
	ProjectionID    string       `json:"projectionId" example:"monitor"`
	Status          string       `json:"status" enum:"QUEUED,REPLAYING,CATCHING_UP,DONE,FAILED" doc:"One that was broken off goes on within a minute." example:"DONE"`
	RollBack        bool         `json:"rollBack" doc:"It puts the tables back that the rebuild before had replaced." example:"false"`
	Events          int64        `json:"events" doc:"Events applied so far." example:"1042"`
	EventsToRebuild int64        `json:"eventsToRebuild" doc:"About how many there are, at most." example:"1042"`
	Differences     []difference `json:"differences" nullable:"false" doc:"How the rebuilt rows differ from the live ones at one position, by table; empty until they have been compared."`
	Error           *string      `json:"error" doc:"Why it failed." example:"the database is away"`
	StartedAt       time.Time    `json:"startedAt" doc:"Zero while it is queued." example:"2026-02-19T03:00:00Z"`
	UpdatedAt       time.Time    `json:"updatedAt" doc:"When it last came on." example:"2026-02-19T03:00:12Z"`
	EndedAt         *time.Time   `json:"endedAt" example:"2026-02-19T03:00:12Z"`
}

type difference struct {
	Table       string   `json:"table" example:"waiting_queue_view"`
	OnlyLive    int64    `json:"onlyLive" doc:"Live rows that the rebuilt table has not, or has otherwise." example:"1"`
	OnlyRebuilt int64    `json:"onlyRebuilt" doc:"Rebuilt rows that the live table has not, or has otherwise." example:"1"`
	Queues      []string `json:"queues" nullable:"false" doc:"The first ten that have such rows." example:"queue-1"`
}

type rebuildStateResponse struct{ Body rebuildState }

type rollBackRequest struct {
	ProjectionID string `path:"projectionId" minLength:"1" maxLength:"64" doc:"The projection." example:"monitor"`
	Body         By
}

type rebuildQueueRequest struct {
	QueueID string `path:"queueId" minLength:"1" maxLength:"128" doc:"The queue." example:"queue-1"`
	ByQuery
}

func (a *api) rebuildRoutes(h huma.API) {
	accepted := func(o huma.Operation) huma.Operation { o.DefaultStatus = http.StatusAccepted; return o }
	huma.Register(h, accepted(operation("projections-rebuild", http.MethodPost, "/api/projections/rebuild", "Operations",
		"Rebuild read models from the event store",
		"Works in the background; readers see the old rows until the new ones are complete. Follow it at /api/projections/{projectionId}/rebuild.",
		http.StatusNotFound, http.StatusConflict)), a.rebuild)
	huma.Register(h, operation("projection-rebuild-state", http.MethodGet, "/api/projections/{projectionId}/rebuild", "Operations",
		"How the last rebuild of a projection stands", "In whatever process it runs.",
		http.StatusNotFound), a.rebuildState)
	huma.Register(h, accepted(operation("projection-rebuild-rollback", http.MethodPost, "/api/projections/{projectionId}/rebuild/rollback", "Operations",
		"Put the tables back that the last rebuild replaced",
		"They are brought up to date first, in the background; those that they replace are kept in turn.",
		http.StatusNotFound, http.StatusConflict)), a.rollBackRebuild)
	huma.Register(h, accepted(operation("queue-rebuild", http.MethodPost, "/api/v1/waiting-room/{queueId}/rebuild", "Operations",
		"Rebuild one queue's rows of all read models", "Works in the background; live events wait only while the new rows are copied.",
		http.StatusNotFound, http.StatusConflict)), a.rebuildQueue)
}

func (a *api) rebuild(ctx context.Context, r *rebuildRequest) (*rebuildResponse, error) {
	projections := readmodel.Projections()
	if r.ProjectionID != "" {
		p, err := a.projection(ctx, r.ProjectionID)
		if err != nil {
			return nil, err
		}
		projections = []readmodel.Projection{p}
	}
	response := &rebuildResponse{}
	response.Body.Success, response.Body.Message = true, "rebuild started; follow it at /api/projections/{projectionId}/rebuild"
	response.Body.CorrelationID = correlationID(ctx)
	for _, p := range projections {
		response.Body.Projections = append(response.Body.Projections, p.ID)
	}
	target := r.ProjectionID
	if target == "" {
		target = "all"
	}
	if err := a.rebuilds.Start(a.record(ctx, r.as(), "projection.rebuild", target), projections...); err != nil {
		return nil, a.fail(ctx, err)
	}
	return response, nil
}

// record notes what an operator begins.
func (a *api) record(ctx context.Context, who readmodel.Operator, action, target string) func() error {
	return func() error { return a.views.RecordAction(ctx, who, action, target) }
}

func (a *api) projection(ctx context.Context, id string) (readmodel.Projection, error) {
	p, known := readmodel.ProjectionByID(id)
	if !known {
		return p, a.fail(ctx, &readmodel.NotFoundError{Kind: "projection", ID: id})
	}
	return p, nil
}

func (a *api) rebuildState(ctx context.Context, r *checkpointRequest) (*rebuildStateResponse, error) {
	if _, err := a.projection(ctx, r.ProjectionID); err != nil {
		return nil, err
	}
	s, err := a.views.RebuildStateOf(ctx, r.ProjectionID)
	var none *readmodel.NotFoundError
	if queued := a.rebuilds.Queued(r.ProjectionID); queued && (errors.As(err, &none) || s.EndedAt != nil) {
		return &rebuildStateResponse{Body: rebuildState{ProjectionID: r.ProjectionID, Status: "QUEUED", Differences: []difference{}}}, nil
	}
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	if s.EndedAt != nil && a.rebuilds.Running(r.ProjectionID) {
		// It holds the projection for a moment more: who is told that it is done may begin the next.
		s.Status, s.EndedAt = "CATCHING_UP", nil
	}
	state := rebuildState{
		ProjectionID: s.ProjectionID, Status: s.Status, RollBack: s.RollBack, Events: s.Events, EventsToRebuild: s.Total,
		Differences: make([]difference, len(s.Differences)), Error: s.Error, StartedAt: s.StartedAt, UpdatedAt: s.UpdatedAt, EndedAt: s.EndedAt,
	}
	for i, d := range s.Differences {
		state.Differences[i] = difference(d)
	}
	return &rebuildStateResponse{Body: state}, nil
}

func (a *api) rollBackRebuild(ctx context.Context, r *rollBackRequest) (*rebuildResponse, error) {
	p, err := a.projection(ctx, r.ProjectionID)
	if err != nil {
		return nil, err
	}
	if err := a.rebuilds.RollBack(ctx, a.record(ctx, r.Body.as(), "projection.rollback", p.ID), p); err != nil {
		return nil, a.fail(ctx, err)
	}
	response := &rebuildResponse{}
	response.Body.Success, response.Body.Message = true, "the previous tables are brought up to date and put back; follow it at /api/projections/{projectionId}/rebuild"
	response.Body.CorrelationID, response.Body.Projections = correlationID(ctx), []string{p.ID}
	return response, nil
}

func (a *api) rebuildQueue(ctx context.Context, r *rebuildQueueRequest) (*operatorResponse, error) {
	events, err := a.views.EventsAfter(ctx, r.QueueID, 0, 1)
	if err == nil && len(events) == 0 {
		err = &readmodel.NotFoundError{Kind: readmodel.KindQueue, ID: r.QueueID}
	}
	if err == nil {
		err = a.rebuilds.StartQueue(a.record(ctx, r.as(), "queue.rebuild", r.QueueID), r.QueueID)
	}
	return a.acted(ctx, "rebuild of the queue started", 1, err)
}
