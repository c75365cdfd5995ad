package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/readmodel"
)

// monitor is one queue at a glance.
type monitor struct {
	QueueID                string         `json:"queueId" example:"queue-1"`
	QueueName              string         `json:"queueName" example:"queue-1"`
	MaxCapacity            int            `json:"maxCapacity" example:"100"`
	TotalPatientsWaiting   int            `json:"totalPatientsWaiting" doc:"Patients in the line, not yet in a consultation." example:"12"`
	HighPriorityCount      int            `json:"highPriorityCount" doc:"High and Urgent." example:"4"`
	NormalPriorityCount    int            `json:"normalPriorityCount" example:"6"`
	LowPriorityCount       int            `json:"lowPriorityCount" example:"2"`
	LastPatientCheckedInAt *time.Time     `json:"lastPatientCheckedInAt" example:"2026-02-19T10:11:58Z"`
	AverageWaitTimeMinutes float64        `json:"averageWaitTimeMinutes" doc:"From check-in to consultation, of those whose consultation began in the last hour; 0 where none did." example:"23.4"`
	CurrentWaitMinutes     float64        `json:"currentWaitMinutes" doc:"How long those in the line have waited so far, on average." example:"11.2"`
	UtilizationPercentage  float64        `json:"utilizationPercentage" doc:"Patients in the line against the capacity." example:"12"`
	PriorityDistribution   map[string]int `json:"priorityDistribution" example:"{\"Urgent\":1,\"High\":3,\"Medium\":6,\"Low\":2}"`
	IsHighLoad             bool           `json:"isHighLoad" doc:"At 80 % of the capacity or more." example:"false"`
	IsEmpty                bool           `json:"isEmpty" example:"false"`
	ProjectedAt            time.Time      `json:"projectedAt" doc:"When the view last changed." example:"2026-02-19T10:12:31Z"`
}

// highLoadPercentage is the utilisation from which a queue counts as under high load.
const highLoadPercentage = 80

func toMonitor(q readmodel.QueueMonitor) monitor {
	utilization := 100 * float64(q.TotalPatientsWaiting) / float64(max(1, q.MaxCapacity))
	return monitor{
		QueueID:                q.QueueID,
		QueueName:              q.QueueName,
		MaxCapacity:            q.MaxCapacity,
		TotalPatientsWaiting:   q.TotalPatientsWaiting,
		HighPriorityCount:      q.HighPriorityCount + q.UrgentPriorityCount,
		NormalPriorityCount:    q.NormalPriorityCount,
		LowPriorityCount:       q.LowPriorityCount,
		LastPatientCheckedInAt: q.LastPatientCheckedInAt,
		AverageWaitTimeMinutes: round2(q.Pace.Waited.Minutes()),
		CurrentWaitMinutes:     round2(q.AverageWait.Minutes()),
		UtilizationPercentage:  round2(utilization),
		PriorityDistribution: map[string]int{
			"Urgent": q.UrgentPriorityCount, "High": q.HighPriorityCount, "Medium": q.NormalPriorityCount, "Low": q.LowPriorityCount,
		},
		IsHighLoad:  utilization >= highLoadPercentage,
		IsEmpty:     q.TotalPatientsWaiting == 0,
		ProjectedAt: q.ProjectedAt,
	}
}

type monitorsRequest struct {
	Consistency
	Conditional
	After string `query:"after" maxLength:"128" doc:"Return the queues behind this id; next of the answer before."`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"Most queues to return."`
}

type monitorsResponse struct {
	Tagged
	Body struct {
		Queues               []monitor `json:"queues" nullable:"false"`
		TotalPatientsWaiting int       `json:"totalPatientsWaiting" doc:"Sum over the queues of this answer." example:"12"`
		Next                 string    `json:"next,omitempty" doc:"Where the next page starts; absent on the last." example:"queue-1"`
	}
}

func (a *api) monitorRoutes(h huma.API) {
	huma.Register(h, conditional(operation("monitor-all", http.MethodGet, "/api/waiting-room/monitor", "Waiting room",
		"All queues at a glance", "Reads the view of the projection `monitor`, in the order of the queues' ids.")), a.monitors)
	huma.Register(h, conditional(operation("monitor", http.MethodGet, "/api/v1/waiting-room/{queueId}/monitor", "Waiting room",
		"One queue at a glance", "Reads the view of the projection `monitor`.",
		http.StatusNotFound)), a.monitor)
}

func (a *api) monitors(ctx context.Context, r *monitorsRequest) (*monitorsResponse, error) {
	if err := a.caughtUp(ctx, r.Consistency, readmodel.Monitor); err != nil {
		return nil, err
	}
	// The state first: what is read afterwards is as new or newer.
	revision, err := a.views.Revision(ctx, readmodel.Monitor)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	tag, err := r.match(revision)
	if err != nil {
		return nil, err
	}
	queues, err := a.views.QueueMonitors(ctx, r.After, r.Limit+1)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	queues, more := page(queues, r.Limit)
	response := &monitorsResponse{Tagged: Tagged{tag}}
	response.Body.Queues = []monitor{}
	for _, q := range queues {
		response.Body.Queues = append(response.Body.Queues, toMonitor(q))
		response.Body.TotalPatientsWaiting += q.TotalPatientsWaiting
	}
	if more {
		response.Body.Next = queues[len(queues)-1].QueueID
	}
	return response, nil
}

// queueRequest names a queue in the path.
type queueRequest struct {
	Consistency
	Conditional
	QueueID string `path:"queueId" minLength:"1" maxLength:"128" doc:"The queue." example:"queue-1"`
}

type monitorResponse struct {
	Tagged
	Body monitor
}

func (a *api) monitor(ctx context.Context, r *queueRequest) (*monitorResponse, error) {
	if err := a.caughtUp(ctx, r.Consistency, readmodel.Monitor); err != nil {
		return nil, err
	}
	tag, err := a.unchanged(ctx, r.Conditional, r.QueueID)
	if err != nil {
		return nil, err
	}
	queue, readErr := a.views.QueueMonitor(ctx, r.QueueID)
	if readErr != nil {
		return nil, a.fail(ctx, readErr)
	}
	return &monitorResponse{Tagged: Tagged{tag}, Body: toMonitor(queue)}, nil
}
