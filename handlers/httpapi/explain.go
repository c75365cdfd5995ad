package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/readmodel"
)

type explainRequest struct {
	Consistency
	Conditional
	QueueID   string `path:"queueId" minLength:"1" maxLength:"128" doc:"The queue." example:"queue-1"`
	PatientID string `query:"patientId" required:"true" minLength:"1" maxLength:"128" doc:"The patient." example:"patient-1"`
	At        string `query:"at" format:"date-time" doc:"Explain the queue as it was at that moment; now unless given. It is read from the queue's events, which takes the longer the more there are." example:"2026-02-19T10:00:00Z"`
}

type aheadPatient struct {
	PatientID    string    `json:"patientId" example:"patient-7"`
	TicketNumber string    `json:"ticketNumber" example:"A-012"`
	Priority     string    `json:"priority" example:"Urgent"`
	Status       string    `json:"status" example:"waiting-cashier"`
	CheckInTime  time.Time `json:"checkInTime" example:"2026-02-19T10:05:00Z"`
	Reason       string    `json:"reason" doc:"Why this patient comes first." example:"has priority Urgent, which goes before High"`
}

type explainResponse struct {
	Tagged
	Body struct {
		QueueID              string         `json:"queueId" example:"queue-1"`
		At                   time.Time      `json:"at" doc:"The moment that is explained." example:"2026-02-19T10:12:31Z"`
		PatientID            string         `json:"patientId" example:"patient-1"`
		TicketNumber         string         `json:"ticketNumber" example:"A-017"`
		Status               string         `json:"status" example:"waiting-cashier"`
		Place                string         `json:"place,omitempty" doc:"The desk or consulting room." example:"desk-1"`
		Priority             string         `json:"priority" example:"High"`
		CheckInTime          time.Time      `json:"checkInTime" example:"2026-02-19T10:00:01Z"`
		WaitTimeMinutes      float64        `json:"waitTimeMinutes" doc:"Since the check-in." example:"12.5"`
		PatientsAhead        int            `json:"patientsAhead" example:"2"`
		Ahead                []aheadPatient `json:"ahead" nullable:"false" doc:"Who comes first: the first to be called first."`
		Rule                 string         `json:"rule" doc:"The rule of the line." example:"the highest priority first, then who came first"`
		EstimatedWaitMinutes int            `json:"estimatedWaitMinutes" doc:"Until the consultation." example:"12"`
		EstimateBasis        string         `json:"estimateBasis" doc:"How the estimate was made." example:"2 to be called before, 0 of 2 rooms free; 13 consultations began in the last hour, one every 4.5 min"`
	}
}

const ruleOfTheLine = "who is called to a room goes in first; then the highest priority, and among equals who came first; who has paid is not held up by those who have not"

func (a *api) explainRoutes(h huma.API) {
	huma.Register(h, conditional(operation("explain", http.MethodGet, "/api/v1/waiting-room/{queueId}/explain", "Waiting room",
		"Why a patient is where they are in the line", "Who comes first, and by which rule; now, or at any moment of the past.",
		http.StatusNotFound)), a.explain)
}

func (a *api) explain(ctx context.Context, r *explainRequest) (*explainResponse, error) {
	at, err := pastMoment(ctx, r.At, time.Now())
	if err != nil {
		return nil, err
	}
	if err := a.caughtUp(ctx, r.Consistency, readmodel.QueueState, readmodel.Monitor); err != nil {
		return nil, err
	}
	tag, err := a.unchanged(ctx, r.Conditional, r.QueueID)
	if err != nil {
		return nil, err
	}
	state, explained, readErr := a.stateAt(ctx, r.QueueID, at)
	if readErr != nil {
		return nil, a.fail(ctx, readErr)
	}
	place, readErr := state.PlaceOf(r.PatientID)
	if readErr != nil {
		return nil, a.fail(ctx, readErr)
	}
	response := &explainResponse{Tagged: Tagged{tag}}
	b := &response.Body
	b.QueueID, b.At, b.PatientID, b.TicketNumber, b.Status = r.QueueID, explained, place.PatientID, place.TicketNumber, place.Status
	b.Place, b.Priority, b.CheckInTime = place.PresentPatient.Place, place.Priority, place.CheckInTime
	b.WaitTimeMinutes = minutesBetween(place.CheckInTime, explained)
	b.PatientsAhead, b.Rule, b.EstimatedWaitMinutes, b.EstimateBasis = len(place.Ahead), ruleOfTheLine, wholeMinutes(place.Estimate), place.Basis
	b.Ahead = make([]aheadPatient, len(place.Ahead))
	for i, p := range place.Ahead {
		b.Ahead[i] = aheadPatient{
			PatientID: p.PatientID, TicketNumber: p.TicketNumber, Priority: p.Priority, Status: p.Status, CheckInTime: p.CheckInTime, Reason: p.Reason,
		}
	}
	return response, nil
}

// maxClockSkew is how far a client's clock may be ahead.
const maxClockSkew = 30 * time.Second

// pastMoment reads the moment that is to be explained, nil for now. What is to come
// nobody knows.
func pastMoment(ctx context.Context, at string, now time.Time) (*time.Time, error) {
	if at == "" {
		return nil, nil //nolint:nilnil // no moment is no mistake
	}
	moment, err := time.Parse(time.RFC3339, at)
	switch {
	case err != nil:
		return nil, fieldError(ctx, "query.at", "must be a moment such as 2026-02-19T10:00:00Z")
	case moment.After(now.Add(maxClockSkew)):
		return nil, fieldError(ctx, "query.at", "must not be in the future")
	}
	return &moment, nil
}

// stateAt is the state of a queue at a moment, now for none.
func (a *api) stateAt(ctx context.Context, queueID string, at *time.Time) (readmodel.QueueStateView, time.Time, error) {
	if at == nil {
		state, err := a.views.QueueStateOf(ctx, queueID)
		return state, time.Now().UTC(), err
	}
	state, err := a.views.QueueStateAt(ctx, queueID, *at)
	return state, *at, err
}
