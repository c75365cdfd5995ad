package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/waitingroom"
)

// Problem is the body of every error answer: RFC 9457 problem details with a
// code to branch on and the request's correlation id.
type Problem struct {
	Title         string         `json:"title" doc:"Short name of the HTTP status." example:"Unprocessable Entity"`
	Status        int            `json:"status" doc:"HTTP status." example:"422"`
	Detail        string         `json:"detail" doc:"What is wrong, and what to do next." example:"the request breaks the rules of its fields"`
	Code          string         `json:"code" doc:"Stable name of the kind of problem." example:"invalid_fields"`
	CorrelationID string         `json:"correlationId" doc:"Identifies the request in the logs." example:"0b8f5f0e-6c2a-4f0e-9b57-1d0e8f3f6e0f"`
	Errors        []FieldProblem `json:"errors,omitempty" nullable:"false" doc:"Each offending field."`

	repeated bool // an earlier request was refused so
}

// FieldProblem says what is wrong with one field of a request.
type FieldProblem struct {
	Field    string `json:"field" doc:"The field's name." example:"priority"`
	Location string `json:"location" doc:"Where it stands in the request." example:"body.priority"`
	Message  string `json:"message" doc:"Which rule it breaks." example:"must be one of Low, Medium, High, Urgent"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError: a client that may come back is told when,
// and one that came again is told so.
func (p *Problem) GetHeaders() http.Header {
	header := http.Header{}
	if p.Status == http.StatusServiceUnavailable || p.Code == string(waitingroom.CodeInFlight) {
		header.Set("Retry-After", retryAfterSeconds)
	}
	if p.Status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Bearer realm="rlapp"`)
	}
	if p.repeated {
		header.Set("Idempotency-Replayed", "true")
	}
	return header
}

// retryAfterSeconds is how long a client should leave a service alone that is away.
const retryAfterSeconds = "2"

// The codes of problems that are no refusal of the domain.
const (
	codeMalformed       = "malformed_request"
	codeTooLarge        = "body_too_large"
	codeContentType     = "unsupported_content_type"
	codeNotFound        = "not_found"
	codeMethod          = "method_not_allowed"
	codeRebuildRunning  = "rebuild_running"
	codeWrongState      = "wrong_state"
	codeBehind          = "view_behind"
	codeUnauthenticated = "unauthenticated"
	codeForbidden       = "forbidden"
	codeTooMany         = "too_many_requests"
	codeUnavailable     = "service_unavailable"
	codeInternal        = "internal_error"
	detailInvalidFields = "the request breaks the rules of its fields"
)

func newProblem(ctx context.Context, status int, code, detail string) *Problem {
	return &Problem{
		Title: http.StatusText(status), Status: status, Detail: detail, Code: code, CorrelationID: correlationID(ctx),
	}
}

// refusalStatus is the HTTP status of each refusal of the domain.
var refusalStatus = map[waitingroom.Code]int{
	waitingroom.CodeInvalid:          http.StatusUnprocessableEntity,
	waitingroom.CodeQueueFull:        http.StatusConflict,
	waitingroom.CodeAlreadyCheckedIn: http.StatusConflict,
	waitingroom.CodeConflict:         http.StatusConflict,
	waitingroom.CodeQueueNotFound:    http.StatusNotFound,
	waitingroom.CodePatientNotFound:  http.StatusNotFound,
	waitingroom.CodeWrongStep:        http.StatusConflict,
	waitingroom.CodeNobodyWaiting:    http.StatusConflict,
	waitingroom.CodeDeskBusy:         http.StatusConflict,
	waitingroom.CodeRoomActive:       http.StatusConflict,
	waitingroom.CodeRoomNotActive:    http.StatusConflict,
	waitingroom.CodeRoomBusy:         http.StatusConflict,
	waitingroom.CodeNoAttemptsLeft:   http.StatusConflict,
	waitingroom.CodeAttemptsLeft:     http.StatusConflict,
	waitingroom.CodeInFlight:         http.StatusConflict,
	waitingroom.CodeKeyReused:        http.StatusUnprocessableEntity,
}

const detailAway = "the database is away or overloaded; send the request again in a moment"

// problemOf is where every error of the inner layers becomes an HTTP answer.
func problemOf(ctx context.Context, err error) *Problem {
	var (
		problem     *Problem
		refusal     *waitingroom.Error
		notFound    *readmodel.NotFoundError
		running     *readmodel.RebuildRunningError
		busy        *readmodel.QueueRebuildError
		previous    *readmodel.PreviousError
		unavailable *command.UnavailableError
		state       *readmodel.StateError
		behind      *readmodel.BehindError
		credential  *CredentialError
		undecided   *undecidedError
	)
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &refusal):
		p := newProblem(ctx, refusalStatus[refusal.Code], string(refusal.Code), refusal.Message)
		var repeated *waitingroom.RepeatedError
		if errors.As(err, &repeated) {
			p.CorrelationID, p.repeated = repeated.CorrelationID, true
		}
		for _, f := range refusal.Fields {
			p.Errors = append(p.Errors, FieldProblem{Field: f.Field, Location: "body." + f.Field, Message: f.Message})
		}
		return p
	case errors.As(err, &notFound):
		return notFoundProblem(ctx, notFound)
	case errors.As(err, &credential):
		return newProblem(ctx, http.StatusUnauthorized, codeUnauthenticated, credential.Reason)
	case errors.As(err, &undecided):
		return newProblem(ctx, http.StatusServiceUnavailable, codeUnavailable,
			"nobody can tell now who you are; send the request again in a moment")
	case errors.As(err, &behind):
		return newProblem(ctx, http.StatusServiceUnavailable, codeBehind, behind.Error())
	case errors.As(err, &state):
		return newProblem(ctx, http.StatusConflict, codeWrongState, state.Error())
	case errors.As(err, &running):
		return newProblem(ctx, http.StatusConflict, codeRebuildRunning, running.Error())
	case errors.As(err, &busy):
		return newProblem(ctx, http.StatusConflict, codeRebuildRunning, busy.Error())
	case errors.As(err, &previous):
		return newProblem(ctx, http.StatusConflict, codeWrongState, previous.Error())
	case errors.As(err, &unavailable), readmodel.Passing(err), errors.Is(err, context.Canceled):
		return newProblem(ctx, http.StatusServiceUnavailable, codeUnavailable,
			detailAway)
	default:
		return newProblem(ctx, http.StatusInternalServerError, codeInternal,
			"something went wrong here; it is logged under the correlation id")
	}
}

// notFoundProblem has the code by which commands, too, say what is missing.
func notFoundProblem(ctx context.Context, err *readmodel.NotFoundError) *Problem {
	code, detail := codeNotFound, err.Error()
	switch err.Kind {
	case readmodel.KindQueue:
		code = string(waitingroom.CodeQueueNotFound)
	case readmodel.KindPatient:
		code, detail = string(waitingroom.CodePatientNotFound), detail+" here"
	case readmodel.KindTurn:
		code, detail = string(waitingroom.CodeNobodyWaiting), "nobody waits in this queue, or is in a consultation"
	}
	return newProblem(ctx, http.StatusNotFound, code, detail)
}

// fail logs an error that is ours, and returns the answer to it.
func (a *api) fail(ctx context.Context, err error) error {
	p := problemOf(ctx, err)
	noteOutage(ctx, err)
	if p.Status >= http.StatusInternalServerError {
		a.logger.ErrorContext(ctx, "a request failed", "Component", "API", "status", p.Status, "error", err)
	}
	return p
}

func init() {
	// huma's own hooks: the form of its validation errors, and that of the document's.
	huma.NewErrorWithContext = func(hctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		return validationProblem(hctx.Context(), status, message, errs)
	}
	// Else "Actor" would be checked in the place of "actor", or not at all beside it, and
	// encoding/json takes the last of them.
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return validationProblem(context.Background(), status, message, errs)
	}
}

// validationProblem turns huma's findings into a problem. Values are not
// repeated: they may be a patient's.
func validationProblem(ctx context.Context, status int, message string, errs []error) *Problem {
	p := newProblem(ctx, status, codeMalformed, message)
	switch status {
	case http.StatusUnprocessableEntity:
		p.Code, p.Detail = string(waitingroom.CodeInvalid), detailInvalidFields
	case http.StatusBadRequest:
		p.Detail = "the request cannot be read"
	case http.StatusRequestEntityTooLarge:
		p.Code = codeTooLarge
	case http.StatusUnsupportedMediaType:
		p.Code = codeContentType
	case http.StatusInternalServerError:
		return newProblem(ctx, status, codeInternal, "something went wrong here; it is logged under the correlation id")
	}
	for _, err := range errs {
		var detail huma.ErrorDetailer
		if errors.As(err, &detail) {
			p.Errors = append(p.Errors, fieldProblem(detail.ErrorDetail()))
		}
	}
	return p
}

const (
	missingPrefix = "expected required property "
	missingSuffix = " to be present"
	// goTypes begins what encoding/json says of numbers that are right in every other
	// way. It names types of Go.
	goTypes = "json: cannot unmarshal "
)

func fieldProblem(d *huma.ErrorDetail) FieldProblem {
	location, message := d.Location, d.Message
	if name, ok := strings.CutPrefix(message, missingPrefix); ok {
		location, message = location+"."+strings.TrimSuffix(name, missingSuffix), "is required"
	}
	if strings.HasPrefix(message, goTypes) {
		message = "has a number in a form that is not read, such as 1e2 for 100"
	}
	return FieldProblem{Field: location[strings.LastIndexByte(location, '.')+1:], Location: location, Message: message}
}

// fieldError refuses a parameter that huma's schema cannot describe.
func fieldError(ctx context.Context, location, message string) *Problem {
	p := newProblem(ctx, http.StatusUnprocessableEntity, string(waitingroom.CodeInvalid), detailInvalidFields)
	p.Errors = []FieldProblem{{
		Field: location[strings.LastIndexByte(location, '.')+1:], Location: location, Message: message,
	}}
	return p
}
