package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/waitingroom"
)

// commandBody is what a client sends for one kind of command.
type commandBody[C waitingroom.Command] interface {
	command() C
	// actor is who asks, as the body says; needed tells whether somebody has to.
	actor() (name string, needed bool)
}

// commandRequest is a command with what its headers say.
type commandRequest[B any] struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"Makes it safe to send the request again: for 24 h the same key is answered alike and nothing is done twice." example:"5f1b6c1e-0c3a-4b57-9d0e-8f3f6e0f7a11"`
	Body           B
}

// OfQueue is what every command says but a check-in. It is exported because huma leaves
// out embedded structs that are not.
type OfQueue struct {
	QueueID string `json:"queueId" minLength:"1" maxLength:"128" doc:"The queue." example:"queue-1"`
	Actor   string `json:"actor,omitempty" maxLength:"128" doc:"Who asks. Needed unless the caller is authenticated; then it is the caller, whatever stands here." example:"desk-1"`
}

func (o OfQueue) actor() (string, bool) { return o.Actor, true }

// OfPatient is a command about a patient of a queue.
type OfPatient struct {
	OfQueue
	PatientID string `json:"patientId" minLength:"1" maxLength:"128" doc:"The patient." example:"patient-1"`
}

type commandResponse struct {
	Repeated string `header:"Idempotency-Replayed" doc:"true where an earlier request with the same Idempotency-Key did it."`
	Body     commandResult
}

// commandResult is the answer to every command.
type commandResult struct {
	Success          bool   `json:"success" doc:"Always true; a refusal is a problem." example:"true"`
	Message          string `json:"message" doc:"What happened." example:"patient checked in"`
	CorrelationID    string `json:"correlationId" doc:"Ties together all that the request causes." example:"0b8f5f0e-6c2a-4f0e-9b57-1d0e8f3f6e0f"`
	EventCount       int    `json:"eventCount" doc:"Number of events that were stored." example:"1"`
	PatientID        string `json:"patientId,omitempty" doc:"The patient that the command was about, or who was chosen." example:"patient-1"`
	TicketNumber     string `json:"ticketNumber,omitempty" doc:"What displays show of a patient who checks in." example:"A-017"`
	ConsultingRoomID string `json:"consultingRoomId,omitempty" doc:"The consulting room that the command was about." example:"room-1"`
	CashierDeskID    string `json:"cashierDeskId,omitempty" doc:"The desk that the patient was called to." example:"desk-1"`
	QueueVersion     int64  `json:"queueVersion" doc:"The queue's version after the command." example:"42"`
	Position         int64  `json:"position" doc:"Global position of the last event; give it as minPosition to read what was written." example:"1042"`
}

// about fills in who or what the last event is about.
func (r *commandResult) about(e waitingroom.Event) {
	switch e := e.(type) {
	case waitingroom.PatientCheckedIn:
		r.PatientID, r.TicketNumber = e.PatientID, e.TicketNumber
	case waitingroom.PatientCalledAtCashier:
		r.PatientID, r.CashierDeskID = e.PatientID, e.CashierDeskID
	case waitingroom.PatientClaimedForAttention:
		r.PatientID, r.ConsultingRoomID = e.PatientID, e.StationID
	case waitingroom.PatientCalled:
		r.PatientID, r.ConsultingRoomID = e.PatientID, e.StationID
	case waitingroom.PatientPaymentValidated:
		r.PatientID = e.PatientID
	case waitingroom.PatientPaymentPending:
		r.PatientID = e.PatientID
	case waitingroom.PatientAbsentAtCashier:
		r.PatientID = e.PatientID
	case waitingroom.PatientAbsentAtConsultation:
		r.PatientID = e.PatientID
	case waitingroom.PatientCancelledByPayment:
		r.PatientID = e.PatientID
	case waitingroom.PatientCancelledByAbsence:
		r.PatientID, r.Message = e.PatientID, "patient absent too often; visit cancelled"
	case waitingroom.PatientAttentionCompleted:
		r.PatientID = e.PatientID
	case waitingroom.ConsultingRoomActivated:
		r.ConsultingRoomID = e.ConsultingRoomID
	case waitingroom.ConsultingRoomDeactivated:
		r.ConsultingRoomID = e.ConsultingRoomID
	}
}

// commandRoute is one kind of command on one path, or on two that do the same.
type commandRoute struct {
	id, path           string
	aliasID, aliasPath string
	tag, summary       string
	description        string
	// message is the answer's, where nothing else is to be said.
	message string
	// refusals are the statuses beside those that every command has.
	refusals []int
}

// registerCommand adds the routes of a command.
func registerCommand[B commandBody[C], C waitingroom.Command](a *api, h huma.API, r commandRoute) {
	errs := append([]int{http.StatusConflict}, r.refusals...)
	carryOut := func(ctx context.Context, request *commandRequest[B]) (*commandResponse, error) {
		return carryOut(ctx, a, request, r.message)
	}
	huma.Register(h, operation(r.id, http.MethodPost, r.path, r.tag, r.summary, r.description, errs...), carryOut)
	if r.aliasPath != "" {
		huma.Register(h, operation(r.aliasID, http.MethodPost, r.aliasPath, r.tag, r.summary+" (same as "+r.id+")", r.description, errs...), carryOut)
	}
}

func carryOut[B commandBody[C], C waitingroom.Command](ctx context.Context, a *api, r *commandRequest[B], message string) (*commandResponse, error) {
	c := r.Body.command()
	if identity, known := identityOf(ctx); known && !identity.reaches(strings.TrimSpace(c.Aggregate())) {
		return nil, newProblem(ctx, http.StatusForbidden, codeForbidden, detailOutside)
	}
	actor, err := actorOf(ctx, r.Body)
	if err != nil {
		return nil, err
	}
	if !usableKey(r.IdempotencyKey) {
		return nil, fieldError(ctx, "header."+idempotencyHeader, "must be printable ASCII without blanks")
	}
	appended, sendErr := command.Send(ctx, a.commands, command.Envelope[C]{
		CorrelationID: correlationID(ctx), Actor: actor, IdempotencyKey: r.IdempotencyKey, Command: c,
	})
	if sendErr != nil {
		return nil, a.fail(ctx, sendErr)
	}
	a.boards.soon()
	return done(ctx, appended, message), nil
}

// anonymous is who asks where nobody says.
const anonymous = "anonymous"

// actorOf is who asks: the caller, where there is one, else whom the body names.
func actorOf(ctx context.Context, body interface{ actor() (string, bool) }) (string, error) {
	if identity, known := identityOf(ctx); known {
		return identity.Name, nil
	}
	name, needed := body.actor()
	if name = strings.TrimSpace(name); name == "" && !needed {
		return anonymous, nil
	}
	if fault := actorFault(name); fault != "" {
		return "", fieldError(ctx, "body.actor", fault)
	}
	return name, nil
}

// actorFault says what is wrong with the name of who asks, "" for nothing.
func actorFault(name string) string {
	if name == "" {
		return "is required"
	}
	return waitingroom.NameFault(name)
}
