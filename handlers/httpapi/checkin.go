package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/waitingroom"
)

type checkInRequest struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"Makes it safe to send the request again: for 24 h the same key is answered alike and nothing is done twice." example:"5f1b6c1e-0c3a-4b57-9d0e-8f3f6e0f7a11"`

	Body struct {
		QueueID          string `json:"queueId" minLength:"1" maxLength:"128" doc:"The queue; its first check-in creates it." example:"queue-1"`
		PatientID        string `json:"patientId" minLength:"1" maxLength:"128" doc:"The patient." example:"patient-1"`
		PatientName      string `json:"patientName" minLength:"1" maxLength:"200" doc:"Shown to staff only." example:"John Doe"`
		Priority         string `json:"priority" doc:"Low, Medium, High or Urgent, in any case. Pregnancy, an age under 18 or over 65 raise it to High." example:"HIGH"`
		ConsultationType string `json:"consultationType" minLength:"2" maxLength:"100" doc:"What the patient comes for." example:"Cardiology"`
		Age              *int   `json:"age,omitempty" minimum:"0" maximum:"150" doc:"Age in years."`
		IsPregnant       bool   `json:"isPregnant,omitempty" doc:"Whether the patient is pregnant."`
		Notes            string `json:"notes,omitempty" maxLength:"1000" doc:"Free text for the staff."`
		Actor            string `json:"actor,omitempty" maxLength:"128" doc:"Who checks the patient in; anonymous unless given."`
	}
}

type commandResponse struct {
	Repeated string `header:"Idempotency-Replayed" doc:"true where an earlier request with the same Idempotency-Key did it."`
	Body     commandResult
}

// commandResult is the answer to every command.
type commandResult struct {
	Success       bool   `json:"success" doc:"Always true; a refusal is a problem."`
	Message       string `json:"message" doc:"What happened."`
	CorrelationID string `json:"correlationId" doc:"Ties together all that the request causes."`
	EventCount    int    `json:"eventCount" doc:"Number of events that were stored."`
	PatientID     string `json:"patientId,omitempty" doc:"The patient that the command was about."`
	QueueVersion  int64  `json:"queueVersion" doc:"The queue's version after the command."`
	Position      int64  `json:"position" doc:"Global position of the last event."`
}

func (a *api) checkInRoutes(h huma.API) {
	const description = "Stores the check-in and answers once it is safe on disk. The views follow within milliseconds."
	errs := []int{http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity}
	huma.Register(h, operation("check-in", http.MethodPost, "/api/waiting-room/check-in", "Reception",
		"Check a patient in", description, errs...), a.checkIn)
	huma.Register(h, operation("register", http.MethodPost, "/api/reception/register", "Reception",
		"Check a patient in (same as check-in)", description, errs...), a.checkIn)
}

func (a *api) checkIn(ctx context.Context, r *checkInRequest) (*commandResponse, error) {
	b := r.Body
	b.PatientID, b.Actor = strings.TrimSpace(b.PatientID), strings.TrimSpace(b.Actor)
	if b.Actor == "" {
		b.Actor = "anonymous"
	}
	if !printable(b.Actor) {
		return nil, fieldError(ctx, "body.actor", "must not contain control characters")
	}
	if !usableKey(r.IdempotencyKey) {
		return nil, fieldError(ctx, "header."+idempotencyHeader, "must be printable ASCII without blanks")
	}
	appended, err := a.commands.CheckIn(ctx, command.Envelope[waitingroom.CheckIn]{
		CorrelationID:  correlationID(ctx),
		Actor:          b.Actor,
		IdempotencyKey: r.IdempotencyKey,
		Command: waitingroom.CheckIn{
			QueueID:          b.QueueID,
			PatientID:        b.PatientID,
			PatientName:      b.PatientName,
			Priority:         b.Priority,
			ConsultationType: b.ConsultationType,
			Notes:            b.Notes,
			Age:              b.Age,
			Pregnant:         b.IsPregnant,
		},
	})
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return done(ctx, appended, commandResult{Message: "patient checked in", PatientID: b.PatientID}), nil
}
