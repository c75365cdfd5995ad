package waitingroom

import "time"

// Event is a fact about one queue. The catalogue below is closed: these types
// are all there are, and their names are public API.
//
// The fields are plain values, so that each type converts to its wire form in
// package schema; the two differ in JSON tags alone.
type Event interface {
	// EventName is the name under which the event is stored and routed.
	EventName() string
}

// WaitingQueueCreated opens a queue. It is always a queue's first event.
type WaitingQueueCreated struct {
	QueueID     string
	QueueName   string
	MaxCapacity int
}

// PatientCheckedIn puts a patient into the line for the cashier.
type PatientCheckedIn struct {
	QueueID          string
	PatientID        string
	PatientName      string
	Priority         string
	ConsultationType string
	Notes            string
	// QueuePosition is the number of patients in the queue after this check-in.
	QueuePosition int
	CheckInTime   time.Time
	// TicketNumber is what a display shows of the patient, such as A-017. It is ""
	// in events from before there were tickets.
	TicketNumber string
	// TicketDay is the day that the number is of, in the clinic's time: 2026-02-19.
	TicketDay string
}

// PatientCalledAtCashier sends a patient to a cashier's desk.
type PatientCalledAtCashier struct {
	QueueID          string
	PatientID        string
	PatientName      string
	Priority         string
	ConsultationType string
	CashierDeskID    string
}

// PatientPaymentValidated ends the cashier's part; the patient waits for the doctor.
type PatientPaymentValidated struct {
	QueueID          string
	PatientID        string
	PatientName      string
	Priority         string
	ConsultationType string
	PaymentReference string
}

// PatientPaymentPending records a payment that could not be made yet.
type PatientPaymentPending struct {
	QueueID          string
	PatientID        string
	PatientName      string
	Priority         string
	ConsultationType string
	AttemptNumber    int
	Reason           string
}

// PatientAbsentAtCashier puts a patient who did not come back into the line.
type PatientAbsentAtCashier struct {
	QueueID     string
	PatientID   string
	RetryNumber int
}

// PatientCancelledByPayment ends a visit whose payment failed for good.
type PatientCancelledByPayment struct {
	QueueID   string
	PatientID string
	Reason    string
}

// PatientCancelledByAbsence ends a visit of a patient who never came.
type PatientCancelledByAbsence struct {
	QueueID       string
	PatientID     string
	TotalAbsences int
}

// PatientClaimedForAttention calls a patient to a consulting room.
type PatientClaimedForAttention struct {
	QueueID          string
	PatientID        string
	PatientName      string
	Priority         string
	ConsultationType string
	StationID        string
}

// PatientCalled starts the consultation of a claimed patient.
type PatientCalled struct {
	QueueID   string
	PatientID string
	StationID string
}

// PatientAbsentAtConsultation puts a claimed patient who did not come back into the line.
type PatientAbsentAtConsultation struct {
	QueueID     string
	PatientID   string
	RetryNumber int
}

// PatientAttentionCompleted ends a visit after its consultation.
type PatientAttentionCompleted struct {
	QueueID          string
	PatientID        string
	PatientName      string
	Priority         string
	ConsultationType string
	Outcome          string
	Notes            string
}

// ConsultingRoomActivated opens a consulting room for calls.
type ConsultingRoomActivated struct {
	QueueID          string
	ConsultingRoomID string
}

// ConsultingRoomDeactivated closes a consulting room.
type ConsultingRoomDeactivated struct {
	QueueID          string
	ConsultingRoomID string
}
