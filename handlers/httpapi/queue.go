package httpapi

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/readmodel"
)

type presentPatient struct {
	PatientID        string    `json:"patientId"`
	PatientName      string    `json:"patientName"`
	Priority         string    `json:"priority"`
	ConsultationType string    `json:"consultationType"`
	Status           string    `json:"status"`
	CheckInTime      time.Time `json:"checkInTime"`
	WaitTimeMinutes  float64   `json:"waitTimeMinutes" doc:"Since the check-in."`
}

type queueStateResponse struct {
	Body struct {
		QueueID             string           `json:"queueId"`
		CurrentCount        int              `json:"currentCount" doc:"Patients whose visit is not over."`
		MaxCapacity         int              `json:"maxCapacity"`
		IsAtCapacity        bool             `json:"isAtCapacity"`
		AvailableSpots      int              `json:"availableSpots"`
		OccupancyPercentage float64          `json:"occupancyPercentage"`
		PatientsInQueue     []presentPatient `json:"patientsInQueue" nullable:"false" doc:"By priority, then check-in."`
		ProjectedAt         time.Time        `json:"projectedAt"`
	}
}

type nextTurnResponse struct {
	Body struct {
		PatientID        string     `json:"patientId"`
		PatientName      string     `json:"patientName"`
		Priority         string     `json:"priority"`
		ConsultationType string     `json:"consultationType"`
		Status           string     `json:"status" enum:"waiting,cashier-called,claimed,called"`
		CheckInTime      time.Time  `json:"checkInTime"`
		ClaimedAt        *time.Time `json:"claimedAt"`
		CalledAt         *time.Time `json:"calledAt"`
		StationID        *string    `json:"stationId"`
		ProjectedAt      time.Time  `json:"projectedAt"`
	}
}

type historyRequest struct {
	Consistency
	QueueID string `path:"queueId" minLength:"1" maxLength:"128" doc:"The queue." example:"queue-1"`
	Limit   int    `query:"limit" minimum:"1" maximum:"500" default:"20" doc:"Most visits to return."`
}

type finishedVisit struct {
	PatientID        string    `json:"patientId"`
	PatientName      string    `json:"patientName"`
	Priority         string    `json:"priority"`
	ConsultationType string    `json:"consultationType"`
	CompletedAt      time.Time `json:"completedAt"`
	Outcome          string    `json:"outcome"`
	Notes            string    `json:"notes"`
}

type historyResponse struct {
	Body struct {
		QueueID string          `json:"queueId"`
		Visits  []finishedVisit `json:"visits" nullable:"false" doc:"Newest first."`
	}
}

func (a *api) queueRoutes(h huma.API) {
	errs := []int{http.StatusNotFound, http.StatusUnprocessableEntity}
	huma.Register(h, operation("queue-state", http.MethodGet, "/api/v1/waiting-room/{queueId}/queue-state", "Waiting room",
		"The patients in a queue", "Reads the view of the projection `queue-state`.", errs...), a.queueState)
	huma.Register(h, operation("next-turn", http.MethodGet, "/api/v1/waiting-room/{queueId}/next-turn", "Waiting room",
		"Whose turn it is", "Who has been called and has not come yet, else the first in the line. Reads the view of the projection `next-turn`.",
		errs...), a.nextTurn)
	huma.Register(h, operation("recent-history", http.MethodGet, "/api/v1/waiting-room/{queueId}/recent-history", "Waiting room",
		"The last finished visits", "Reads the view of the projection `history`.", errs...), a.recentHistory)
}

func (a *api) queueState(ctx context.Context, r *queueRequest) (*queueStateResponse, error) {
	if err := a.caughtUp(ctx, r.Consistency, readmodel.QueueState, readmodel.Monitor); err != nil {
		return nil, err
	}
	state, err := a.views.QueueStateOf(ctx, r.QueueID)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	response := &queueStateResponse{}
	b := &response.Body
	b.QueueID, b.MaxCapacity, b.ProjectedAt = state.QueueID, state.MaxCapacity, state.ProjectedAt
	b.CurrentCount = len(state.Patients)
	b.AvailableSpots = max(0, state.MaxCapacity-b.CurrentCount)
	b.IsAtCapacity = b.AvailableSpots == 0
	b.OccupancyPercentage = round2(100 * float64(b.CurrentCount) / float64(max(1, state.MaxCapacity)))
	b.PatientsInQueue = make([]presentPatient, len(state.Patients))
	for i, p := range state.Patients {
		b.PatientsInQueue[i] = toPresentPatient(p)
	}
	return response, nil
}

func toPresentPatient(p readmodel.PresentPatient) presentPatient {
	return presentPatient{
		PatientID: p.PatientID, PatientName: p.PatientName, Priority: p.Priority, ConsultationType: p.ConsultationType,
		Status: p.Status, CheckInTime: p.CheckInTime, WaitTimeMinutes: round2(max(0, time.Since(p.CheckInTime).Minutes())),
	}
}

func (a *api) nextTurn(ctx context.Context, r *queueRequest) (*nextTurnResponse, error) {
	if err := a.caughtUp(ctx, r.Consistency, readmodel.NextTurn); err != nil {
		return nil, err
	}
	turn, err := a.views.NextTurnOf(ctx, r.QueueID)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	response := &nextTurnResponse{}
	b := &response.Body
	b.PatientID, b.PatientName, b.Priority, b.ConsultationType = turn.PatientID, turn.PatientName, turn.Priority, turn.ConsultationType
	b.Status, b.CheckInTime, b.ClaimedAt, b.CalledAt = turn.Status, turn.CheckInTime, turn.ClaimedAt, turn.CalledAt
	b.StationID, b.ProjectedAt = turn.StationID, turn.ProjectedAt
	return response, nil
}

func (a *api) recentHistory(ctx context.Context, r *historyRequest) (*historyResponse, error) {
	if err := a.caughtUp(ctx, r.Consistency, readmodel.History, readmodel.Monitor); err != nil {
		return nil, err
	}
	if _, err := a.views.QueueMonitor(ctx, r.QueueID); err != nil {
		return nil, a.fail(ctx, err)
	}
	visits, err := a.views.RecentHistory(ctx, r.QueueID, r.Limit)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	response := &historyResponse{}
	response.Body.QueueID = r.QueueID
	response.Body.Visits = make([]finishedVisit, len(visits))
	for i, v := range visits {
		response.Body.Visits[i] = finishedVisit{
			PatientID: v.PatientID, PatientName: v.PatientName, Priority: v.Priority, ConsultationType: v.ConsultationType,
			CompletedAt: v.CompletedAt, Outcome: v.Outcome, Notes: v.Notes,
		}
	}
	return response, nil
}

func round2(x float64) float64 { return math.Round(x*100) / 100 }
