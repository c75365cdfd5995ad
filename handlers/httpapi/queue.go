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
	PatientID        string    `json:"patientId" example:"patient-1"`
	PatientName      string    `json:"patientName" example:"John Doe"`
	Priority         string    `json:"priority" example:"High"`
	ConsultationType string    `json:"consultationType" example:"Cardiology"`
	Notes            string    `json:"notes" doc:"Free text for the staff." example:"wheelchair"`
	TicketNumber     string    `json:"ticketNumber" doc:"What displays show; empty for a patient from before there were tickets." example:"A-017"`
	Status           string    `json:"status" enum:"waiting-cashier,at-cashier,payment-pending,waiting-consultation,called,in-consultation" example:"waiting-cashier"`
	Place            string    `json:"place" doc:"The desk or consulting room; empty while waiting." example:"desk-1"`
	CheckInTime      time.Time `json:"checkInTime" example:"2026-02-19T10:00:01Z"`
	WaitTimeMinutes  float64   `json:"waitTimeMinutes" doc:"Since the check-in." example:"12.5"`
	// The estimate counts until the consultation.
	PatientsAhead        int    `json:"patientsAhead" doc:"Patients who come first; explain tells why." example:"2"`
	EstimatedWaitMinutes int    `json:"estimatedWaitMinutes" doc:"Until the consultation, rounded up; 0 once called." example:"12"`
	EstimateBasis        string `json:"estimateBasis" doc:"How the estimate was made." example:"2 to be called before, 0 of 2 rooms free; 13 consultations began in the last hour, one every 4.5 min"`
}

type queueStateResponse struct {
	Tagged
	Body struct {
		QueueID             string           `json:"queueId" example:"queue-1"`
		CurrentCount        int              `json:"currentCount" doc:"Patients whose visit is not over." example:"12"`
		MaxCapacity         int              `json:"maxCapacity" example:"100"`
		IsAtCapacity        bool             `json:"isAtCapacity" example:"false"`
		AvailableSpots      int              `json:"availableSpots" example:"88"`
		OccupancyPercentage float64          `json:"occupancyPercentage" example:"12"`
		PatientsInQueue     []presentPatient `json:"patientsInQueue" nullable:"false" doc:"In the order of their turn: by priority, then arrival."`
		ConsultingRooms     []consultingRoom `json:"consultingRooms" nullable:"false" doc:"All that were ever activated."`
		ProjectedAt         time.Time        `json:"projectedAt" example:"2026-02-19T10:12:31Z"`
	}
}

type nextTurnResponse struct {
	Tagged
	Body struct {
		PatientID        string     `json:"patientId" example:"patient-1"`
		PatientName      string     `json:"patientName" example:"John Doe"`
		Priority         string     `json:"priority" example:"High"`
		ConsultationType string     `json:"consultationType" example:"Cardiology"`
		TicketNumber     string     `json:"ticketNumber" doc:"What displays show." example:"A-017"`
		Status           string     `json:"status" enum:"waiting,cashier-called,claimed,called" doc:"claimed: called to a room; cashier-called: at a desk; called: the consultation has begun." example:"claimed"`
		CheckInTime      time.Time  `json:"checkInTime" example:"2026-02-19T10:00:01Z"`
		WaitTimeMinutes  float64    `json:"waitTimeMinutes" doc:"Since the check-in." example:"12.5"`
		ClaimedAt        *time.Time `json:"claimedAt" doc:"When the patient was called to the room; null before." example:"2026-02-19T10:12:00Z"`
		CalledAt         *time.Time `json:"calledAt" doc:"When the consultation began; null before." example:"2026-02-19T10:13:00Z"`
		StationID        *string    `json:"stationId" doc:"The room; null until the patient is called to one." example:"room-1"`
		ProjectedAt      time.Time  `json:"projectedAt" example:"2026-02-19T10:12:31Z"`
	}
}

type historyRequest struct {
	Consistency
	Conditional
	Before  int64  `query:"before" minimum:"0" default:"0" doc:"Return the visits before this one; nextBefore of the answer before." example:"0"`
	QueueID string `path:"queueId" minLength:"1" maxLength:"128" doc:"The queue." example:"queue-1"`
	Limit   int    `query:"limit" minimum:"1" maximum:"500" default:"20" doc:"Most visits to return."`
}

type finishedVisit struct {
	PatientID        string     `json:"patientId" example:"patient-1"`
	PatientName      string     `json:"patientName" example:"John Doe"`
	Priority         string     `json:"priority" example:"High"`
	ConsultationType string     `json:"consultationType" example:"Cardiology"`
	Status           string     `json:"status" enum:"completed" example:"completed"`
	CheckInTime      *time.Time `json:"checkInTime" doc:"null until the visit's journey is there." example:"2026-02-19T10:00:01Z"`
	WaitTimeMinutes  *float64   `json:"waitTimeMinutes" doc:"From check-in until the consultation began; null until the visit's journey is there." example:"12.5"`
	CompletedAt      time.Time  `json:"completedAt" example:"2026-02-19T10:31:07Z"`
	Outcome          string     `json:"outcome" example:"treated"`
	Notes            string     `json:"notes" example:"wheelchair"`
}

type historyResponse struct {
	Tagged
	Body struct {
		QueueID    string          `json:"queueId" example:"queue-1"`
		Visits     []finishedVisit `json:"visits" nullable:"false" doc:"Newest first."`
		NextBefore int64           `json:"nextBefore,omitempty" doc:"Where the next page starts; absent on the last." example:"42"`
	}
}

func (a *api) queueRoutes(h huma.API) {
	errs := []int{http.StatusNotFound}
	huma.Register(h, conditional(operation("queue-state", http.MethodGet, "/api/v1/waiting-room/{queueId}/queue-state", "Waiting room",
		"The patients in a queue", "Reads the view of the projection `queue-state`.", errs...)), a.queueState)
	huma.Register(h, conditional(operation("next-turn", http.MethodGet, "/api/v1/waiting-room/{queueId}/next-turn", "Waiting room",
		"Whose turn it is", "Who is called to a room, else to a desk, else the first of those who wait, else one whose consultation has begun; 404 where nobody is present. Reads the view of the projection `next-turn`.",
		errs...)), a.nextTurn)
	huma.Register(h, conditional(operation("recent-history", http.MethodGet, "/api/v1/waiting-room/{queueId}/recent-history", "Waiting room",
		"The last finished visits", "Reads the views of the projections `history` and `journey`.", errs...)), a.recentHistory)
}

func (a *api) queueState(ctx context.Context, r *queueRequest) (*queueStateResponse, error) {
	if err := a.caughtUp(ctx, r.Consistency, readmodel.QueueState, readmodel.Monitor); err != nil {
		return nil, err
	}
	tag, err := a.unchanged(ctx, r.Conditional, r.QueueID)
	if err != nil {
		return nil, err
	}
	state, readErr := a.views.QueueStateOf(ctx, r.QueueID)
	if readErr != nil {
		return nil, a.fail(ctx, readErr)
	}
	response := &queueStateResponse{Tagged: Tagged{tag}}
	b := &response.Body
	b.QueueID, b.MaxCapacity, b.ProjectedAt = state.QueueID, state.MaxCapacity, state.ProjectedAt
	b.CurrentCount = len(state.Patients)
	b.AvailableSpots = max(0, state.MaxCapacity-b.CurrentCount)
	b.IsAtCapacity = b.AvailableSpots == 0
	b.OccupancyPercentage = round2(100 * float64(b.CurrentCount) / float64(max(1, state.MaxCapacity)))
	b.PatientsInQueue = make([]presentPatient, len(state.Patients))
	for i, p := range state.Places() {
		b.PatientsInQueue[i] = toPresentPatient(p)
	}
	b.ConsultingRooms = toRooms(state.Rooms)
	return response, nil
}

func toPresentPatient(p readmodel.Place) presentPatient {
	return presentPatient{
		PatientID: p.PatientID, PatientName: p.PatientName, Priority: p.Priority, ConsultationType: p.ConsultationType, Notes: p.Notes,
		TicketNumber: p.TicketNumber, Status: p.Status, Place: p.PresentPatient.Place, CheckInTime: p.CheckInTime,
		WaitTimeMinutes: minutesBetween(p.CheckInTime, time.Now()), PatientsAhead: len(p.Ahead),
		EstimatedWaitMinutes: wholeMinutes(p.Estimate), EstimateBasis: p.Basis,
	}
}

func (a *api) nextTurn(ctx context.Context, r *queueRequest) (*nextTurnResponse, error) {
	if err := a.caughtUp(ctx, r.Consistency, readmodel.NextTurn); err != nil {
		return nil, err
	}
	tag, err := a.unchanged(ctx, r.Conditional, r.QueueID)
	if err != nil {
		return nil, err
	}
	turn, readErr := a.views.NextTurnOf(ctx, r.QueueID)
	if readErr != nil && tag == "" {
		readErr = &readmodel.NotFoundError{Kind: readmodel.KindQueue, ID: r.QueueID}
	}
	if readErr != nil {
		return nil, a.fail(ctx, readErr)
	}
	response := &nextTurnResponse{Tagged: Tagged{tag}}
	b := &response.Body
	b.PatientID, b.PatientName, b.Priority, b.ConsultationType = turn.PatientID, turn.PatientName, turn.Priority, turn.ConsultationType
	b.TicketNumber, b.WaitTimeMinutes = turn.TicketNumber, minutesBetween(turn.CheckInTime, time.Now())
	b.Status, b.CheckInTime, b.ClaimedAt, b.CalledAt = turn.Status, turn.CheckInTime, turn.ClaimedAt, turn.CalledAt
	b.StationID, b.ProjectedAt = turn.StationID, turn.ProjectedAt
	return response, nil
}

func (a *api) recentHistory(ctx context.Context, r *historyRequest) (*historyResponse, error) {
	if err := a.caughtUp(ctx, r.Consistency, readmodel.History, readmodel.Journey, readmodel.Monitor); err != nil {
		return nil, err
	}
	tag, err := a.unchanged(ctx, r.Conditional, r.QueueID)
	if err != nil {
		return nil, err
	}
	if _, err := a.views.QueueMonitor(ctx, r.QueueID); err != nil {
		return nil, a.fail(ctx, err)
	}
	visits, readErr := a.views.RecentHistory(ctx, r.QueueID, r.Before, r.Limit+1)
	if readErr != nil {
		return nil, a.fail(ctx, readErr)
	}
	visits, more := page(visits, r.Limit)
	response := &historyResponse{Tagged: Tagged{tag}}
	if more {
		response.Body.NextBefore = visits[len(visits)-1].Version
	}
	response.Body.QueueID = r.QueueID
	response.Body.Visits = make([]finishedVisit, len(visits))
	for i, v := range visits {
		response.Body.Visits[i] = finishedVisit{
			PatientID: v.PatientID, PatientName: v.PatientName, Priority: v.Priority, ConsultationType: v.ConsultationType,
			Status: "completed", CheckInTime: v.CheckInTime, CompletedAt: v.CompletedAt, Outcome: v.Outcome, Notes: v.Notes,
		}
		if v.CheckInTime != nil && v.BegunAt != nil {
			waited := minutesBetween(*v.CheckInTime, *v.BegunAt)
			response.Body.Visits[i].WaitTimeMinutes = &waited
		}
	}
	return response, nil
}

func round2(x float64) float64 { return math.Round(x*100) / 100 }
