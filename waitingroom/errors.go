package waitingroom

import (
	"fmt"
	"strings"
)

// Code names a kind of refusal. Codes are public API: clients branch on them.
type Code string

// The codes of every refusal that the domain and its event store can give.
const (
	// CodeInvalid means that one or more fields break a rule of form.
	CodeInvalid Code = "invalid_fields"
	// CodeQueueFull means that the queue is at its capacity.
	CodeQueueFull Code = "queue_full"
	// CodeAlreadyCheckedIn means that the patient has an active visit in the queue.
	CodeAlreadyCheckedIn Code = "already_checked_in"
	// CodeQueueNotFound means that no event of that queue exists.
	CodeQueueNotFound Code = "queue_not_found"
	// CodePatientNotFound means that the patient has no visit which is not over.
	CodePatientNotFound Code = "patient_not_found"
	// CodeWrongStep means that the patient stands where the step cannot be taken.
	CodeWrongStep Code = "step_not_allowed"
	// CodeNobodyWaiting means that the line is empty.
	CodeNobodyWaiting Code = "nobody_waiting"
	// CodeDeskBusy means that a patient is at the cashier's desk.
	CodeDeskBusy Code = "desk_busy"
	// CodeRoomActive means that the consulting room is active already.
	CodeRoomActive Code = "room_already_active"
	// CodeRoomNotActive means that the consulting room is not active.
	CodeRoomNotActive Code = "room_not_active"
	// CodeRoomBusy means that a patient is in the consulting room.
	CodeRoomBusy Code = "room_busy"
	// CodeNoAttemptsLeft means that the payment was tried as often as it may be.
	CodeNoAttemptsLeft Code = "no_payment_attempts_left"
	// CodeAttemptsLeft means that the payment has to be tried again first.
	CodeAttemptsLeft Code = "payment_attempts_left"
	// CodeConflict means that other writers kept winning the race for the queue.
	CodeConflict Code = "concurrency_conflict"
	// CodeKeyReused means that an idempotency key came with another request before.
	CodeKeyReused Code = "idempotency_key_reused"
	// CodeInFlight means that the first request with an idempotency key is at work.
	CodeInFlight Code = "request_in_flight"
)

// Error is a refusal by the domain. Nothing was changed when one is returned.
// Compare it with errors.As and look at its Code.
type Error struct {
	// Code is the kind of refusal.
	Code Code
	// Message tells a person what is wrong and what to do next. It carries no
	// patient's name.
	Message string
	// Fields names each offending field; only CodeInvalid has any.
	Fields []FieldError
}

// FieldError says what is wrong with one field of a command.
type FieldError struct {
	// Field is the field's name as clients send it, such as "patientId".
	Field string
	// Message says which rule it breaks.
	Message string
}

// Error returns the message followed by the offending fields.
func (e *Error) Error() string {
	if len(e.Fields) == 0 {
		return e.Message
	}
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Field + ": " + f.Message
	}
	return e.Message + ": " + strings.Join(parts, "; ")
}

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
