package schema

import "time"

// Event is the wire form of one event, at its newest version.
type Event interface {
	// EventName is the name under which the event is stored and routed.
	EventName() string
	// Aggregate is the id of the queue that the event belongs to.
	Aggregate() string
}

// WaitingQueueCreated opens a queue. It is always a queue's first event.
type WaitingQueueCreated struct {
	QueueID     string `json:"queueId"`
	QueueName   string `json:"queueName"`
	MaxCapacity int    `json:"maxCapacity"`
}

// PatientCheckedIn puts a patient into the line for the cashier.
type PatientCheckedIn struct {
	QueueID          string `json:"queueId"`
	PatientID        string `json:"patientId"`
	PatientName      string `json:"patientName"`
	Priority         string `json:"priority"`
	ConsultationType string `json:"consultationType"`
	Notes            string `json:"notes,omitempty"`
	// QueuePosition is the number of patients in the queue after this check-in.
	QueuePosition int       `json:"queuePosition"`
	CheckInTime   time.Time `json:"checkInTime"`
	// TicketNumber is what a display shows of the patient, such as A-017; "" in an
	// event of version 1, when there were no tickets.
	TicketNumber string `json:"ticketNumber"`
	// TicketDay is the day that the number is of, in the clinic's time: 2026-02-19.
	TicketDay string `json:"ticketDay"`
}

// PatientCalledAtCashier sends a patient to a cashier's desk.
type PatientCalledAtCashier struct {
	QueueID          string `json:"queueId"`
	PatientID        string `json:"patientId"`
	PatientName      string `json:"patientName"`
	Priority         string `json:"priority"`
	ConsultationType string `json:"consultationType"`
	CashierDeskID    string `json:"cashierDeskId,omitempty"`
}

// PatientPaymentValidated ends the cashier's part; the patient waits for the doctor.
type PatientPaymentValidated struct {
	QueueID          string `json:"queueId"`
	PatientID        string `json:"patientId"`
	PatientName      string `json:"patientName"`
	Priority         string `json:"priority"`
	ConsultationType string `json:"consultationType"`
	PaymentReference string `json:"paymentReference,omitempty"`
}

// PatientPaymentPending records a payment that could not be made yet.
type PatientPaymentPending struct {
	QueueID          string `json:"queueId"`
	PatientID        string `json:"patientId"`
	PatientName      string `json:"patientName"`
	Priority         string `json:"priority"`
	ConsultationType string `json:"consultationType"`
	AttemptNumber    int    `json:"attemptNumber"`
	Reason           string `json:"reason,omitempty"`
}

// PatientAbsentAtCashier puts a patient who did not come back into the line.
type PatientAbsentAtCashier struct {
	QueueID     string `json:"queueId"`
	PatientID   string `json:"patientId"`
	RetryNumber int    `json:"retryNumber"`
}

// PatientCancelledByPayment ends a visit whose payment failed for good.
type PatientCancelledByPayment struct {
	QueueID   string `json:"queueId"`
	PatientID string `json:"patientId"`
	Reason    string `json:"reason,omitempty"`
}

// PatientCancelledByAbsence ends a visit of a patient who never came.
type PatientCancelledByAbsence struct {
	QueueID       string `json:"queueId"`
	PatientID     string `json:"patientId"`
	TotalAbsences int    `json:"totalAbsences"`
}

// PatientClaimedForAttention calls a patient to a consulting room.
type PatientClaimedForAttention struct {
	QueueID          string `json:"queueId"`
	PatientID        string `json:"patientId"`
	PatientName      string `json:"patientName"`
	Priority         string `json:"priority"`
	ConsultationType string `json:"consultationType"`
	StationID        string `json:"stationId"`
}

// PatientCalled starts the consultation of a claimed patient.
type PatientCalled struct {
	QueueID   string `json:"queueId"`
	PatientID string `json:"patientId"`
	StationID string `json:"stationId"`
}

// PatientAbsentAtConsultation puts a claimed patient who did not come back into the line.
type PatientAbsentAtConsultation struct {
	QueueID     string `json:"queueId"`
	PatientID   string `json:"patientId"`
	RetryNumber int    `json:"retryNumber"`
}

// PatientAttentionCompleted ends a visit after its consultation.
type PatientAttentionCompleted struct {
	QueueID          string `json:"queueId"`
	PatientID        string `json:"patientId"`
	PatientName      string `json:"patientName"`
	Priority         string `json:"priority"`
	ConsultationType string `json:"consultationType"`
	Outcome          string `json:"outcome,omitempty"`
	Notes            string `json:"notes,omitempty"`
}

// ConsultingRoomActivated opens a consulting room for calls.
type ConsultingRoomActivated struct {
	QueueID          string `json:"queueId"`
	ConsultingRoomID string `json:"consultingRoomId"`
}

// ConsultingRoomDeactivated closes a consulting room.
type ConsultingRoomDeactivated struct {
	QueueID          string `json:"queueId"`
	ConsultingRoomID string `json:"consultingRoomId"`
}
