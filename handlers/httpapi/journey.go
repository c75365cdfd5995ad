package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/readmodel"
)

type journeyRequest struct {
	Consistency
	Conditional
	QueueID   string `path:"queueId" minLength:"1" maxLength:"128" doc:"The queue." example:"queue-1"`
	PatientID string `query:"patientId" required:"true" minLength:"1" maxLength:"128" doc:"The patient." example:"patient-1"`
	Before    int64  `query:"before" minimum:"0" default:"0" doc:"Return the visit before this one; previous of the answer before." example:"0"`
}

type journeyStep struct {
	EventName       string    `json:"eventName" example:"PatientCalledAtCashier"`
	Status          string    `json:"status" doc:"Where the patient stood afterwards." example:"at-cashier"`
	Place           string    `json:"place,omitempty" doc:"The desk or consulting room." example:"desk-1"`
	Detail          string    `json:"detail,omitempty" doc:"What else was said: the ticket, the reason, the outcome." example:"A-017"`
	OccurredAt      time.Time `json:"occurredAt" example:"2026-02-19T10:08:00Z"`
	DurationMinutes *float64  `json:"durationMinutes" doc:"Until the next step; until now for the last one of a visit that goes on; null for the end of a visit." example:"4.5"`
}

type journeyResponse struct {
	Tagged
	Body struct {
		QueueID      string        `json:"queueId" example:"queue-1"`
		PatientID    string        `json:"patientId" example:"patient-1"`
		IsOver       bool          `json:"isOver" doc:"Whether the visit has ended." example:"false"`
		Steps        []journeyStep `json:"steps" nullable:"false"`
		TotalMinutes float64       `json:"totalMinutes" doc:"From check-in to the end, or until now." example:"38.2"`
		Previous     int64         `json:"previous,omitempty" doc:"Where the visit before is found; absent on the first." example:"17"`
	}
}

func (a *api) journeyRoutes(h huma.API) {
	huma.Register(h, conditional(operation("journey", http.MethodGet, "/api/v1/waiting-room/{queueId}/journey", "Waiting room",
		"Every step of a patient's visit", "The last visit unless an earlier one is asked for. Reads the view of the projection `journey`.",
		http.StatusNotFound)), a.journey)
}

func (a *api) journey(ctx context.Context, r *journeyRequest) (*journeyResponse, error) {
	if err := a.caughtUp(ctx, r.Consistency, readmodel.Journey); err != nil {
		return nil, err
	}
	tag, err := a.unchanged(ctx, r.Conditional, r.QueueID)
	if err != nil {
		return nil, err
	}
	visit, readErr := a.views.VisitOf(ctx, r.QueueID, r.PatientID, r.Before)
	if readErr != nil {
		return nil, a.fail(ctx, readErr)
	}
	response := &journeyResponse{Tagged: Tagged{tag}}
	b := &response.Body
	b.QueueID, b.PatientID, b.Previous = r.QueueID, r.PatientID, visit.Previous
	b.IsOver = visit.Over()
	end := time.Now()
	if b.IsOver {
		end = visit.Steps[len(visit.Steps)-1].OccurredAt
	}
	b.Steps = toSteps(visit.Steps, b.IsOver, end)
	b.TotalMinutes = minutesBetween(visit.Steps[0].OccurredAt, end)
	return response, nil
}

func toSteps(steps []readmodel.JourneyStep, over bool, end time.Time) []journeyStep {
	shown := make([]journeyStep, len(steps))
	for i, s := range steps {
		shown[i] = journeyStep{EventName: s.EventName, Status: s.Status, Place: s.Place, Detail: s.Detail, OccurredAt: s.OccurredAt}
		next := end
		if i+1 < len(steps) {
			next = steps[i+1].OccurredAt
		} else if over {
			continue
		}
		took := minutesBetween(s.OccurredAt, next)
		shown[i].DurationMinutes = &took
	}
	return shown
}

func minutesBetween(from, to time.Time) float64 { return round2(max(0, to.Sub(from).Minutes())) }
