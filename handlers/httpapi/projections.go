package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/readmodel"
)

// checkpoint says how far a projection has come.
type checkpoint struct {
	ProjectionID    string     `json:"projectionId" example:"monitor"`
	Status          string     `json:"status" enum:"UpToDate,CatchingUp,Stale,Failed,Rebuilding" doc:"Stale: behind, and no progress for five minutes. Failed: it gave events up that still wait; replay them, or rebuild it, once the cause is mended." example:"UpToDate"`
	LastPosition    int64      `json:"lastPosition" doc:"Global position of the last applied event." example:"1042"`
	LastEventID     *string    `json:"lastEventId" example:"7d3c1f0a-52b6-4c1e-8a94-0f6d2b9e4c55"`
	LastEventName   *string    `json:"lastEventName" example:"PatientCheckedIn"`
	EventsProcessed int64      `json:"eventsProcessed" example:"1042"`
	EventsBehind    int64      `json:"eventsBehind" doc:"Stored events behind its last one." example:"0"`
	EventsGivenUp   int64      `json:"eventsGivenUp" doc:"Events that it gave up after its retries, since its last rebuild, and that still wait for a person or are being replayed." example:"0"`
	RebuiltAt       *time.Time `json:"rebuiltAt" example:"2026-02-19T03:00:12Z"`
	UpdatedAt       *time.Time `json:"updatedAt" example:"2026-02-19T10:12:31Z"`
	RebuiltEvents   int64      `json:"rebuiltEvents" doc:"While it is rebuilt by this process: the events applied so far." example:"0"`
	EventsToRebuild int64      `json:"eventsToRebuild" doc:"While it is rebuilt by this process: about how many events there are, at most." example:"0"`
}

// staleAfter is the alert ProjectionCheckpointStale's limit.
const staleAfter = 5 * time.Minute

func (a *api) toCheckpoint(c readmodel.Checkpoint) checkpoint {
	status := "UpToDate"
	switch {
	case a.rebuilds.Running(c.ProjectionID):
		status = "Rebuilding"
	case c.GivenUp > 0:
		status = "Failed"
	case c.Behind > 0 && c.Age > staleAfter:
		status = "Stale"
	case c.Behind > 0:
		status = "CatchingUp"
	}
	rebuild := a.rebuilds.Progress(c.ProjectionID)
	return checkpoint{
		ProjectionID: c.ProjectionID, Status: status, LastPosition: c.LastPosition, LastEventID: c.LastEventID,
		LastEventName: c.LastEventName, EventsProcessed: c.EventsProcessed, EventsBehind: c.Behind, EventsGivenUp: c.GivenUp,
		RebuiltAt: c.RebuiltAt, UpdatedAt: c.UpdatedAt, RebuiltEvents: rebuild.Events, EventsToRebuild: rebuild.Total,
	}
}

type projectionsHealthResponse struct {
	Body struct {
		Status      string       `json:"status" enum:"Healthy,Degraded" doc:"Degraded: a projection is stale or has failed." example:"Healthy"`
		Projections []checkpoint `json:"projections" nullable:"false"`
	}
}

type checkpointRequest struct {
	ProjectionID string `path:"projectionId" minLength:"1" maxLength:"64" doc:"The projection." example:"monitor"`
}

type checkpointResponse struct{ Body checkpoint }

func (a *api) projectionRoutes(h huma.API) {
	huma.Register(h, operation("projections-health", http.MethodGet, "/api/projections/health", "Operations",
		"How far the projections have come", "One entry a projection."), a.projectionsHealth)
	huma.Register(h, operation("projection-checkpoint", http.MethodGet, "/api/projections/{projectionId}/checkpoint", "Operations",
		"How far one projection has come", "", http.StatusNotFound), a.checkpoint)
}

func (a *api) projectionsHealth(ctx context.Context, _ *struct{}) (*projectionsHealthResponse, error) {
	checkpoints, err := a.views.Checkpoints(ctx)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	response := &projectionsHealthResponse{}
	response.Body.Status = "Healthy"
	for _, c := range checkpoints {
		shown := a.toCheckpoint(c)
		if shown.Status == "Stale" || shown.Status == "Failed" {
			response.Body.Status = "Degraded"
		}
		response.Body.Projections = append(response.Body.Projections, shown)
	}
	return response, nil
}

func (a *api) checkpoint(ctx context.Context, r *checkpointRequest) (*checkpointResponse, error) {
	c, err := a.views.CheckpointOf(ctx, r.ProjectionID)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return &checkpointResponse{Body: a.toCheckpoint(c)}, nil
}
