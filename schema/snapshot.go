package schema

import (
	"encoding/json"
	"errors"
	"fmt"
)

// SnapshotVersion is the wire version of QueueSnapshot. Snapshots of another
// version are not read: the queue is replayed from its first event.
const SnapshotVersion = 2

// QueueSnapshot is the wire form of a queue's state at one version.
type QueueSnapshot struct {
	MaxCapacity int `json:"maxCapacity"`
	// Visits are those that are not over, in the order of the patients' ids.
	Visits []Visit `json:"visits,omitempty"`
	// ActiveRooms are the consulting rooms that are active, sorted.
	ActiveRooms []string `json:"activeRooms,omitempty"`
	// TicketDay is the last day on which tickets were given, TicketsGiven their number.
	TicketDay    string `json:"ticketDay,omitempty"`
	TicketsGiven int    `json:"ticketsGiven,omitempty"`
}

// Visit is the wire form of what a queue knows of a patient whose visit is not over.
type Visit struct {
	PatientID            string `json:"patientId"`
	PatientName          string `json:"patientName"`
	Priority             int    `json:"priority"`
	ConsultationType     string `json:"consultationType"`
	Arrival              int64  `json:"arrival"`
	Status               string `json:"status"`
	Place                string `json:"place,omitempty"`
	PaymentAttempts      int    `json:"paymentAttempts,omitempty"`
	CashierAbsences      int    `json:"cashierAbsences,omitempty"`
	ConsultationAbsences int    `json:"consultationAbsences,omitempty"`
}

// EncodeSnapshot returns the JSON of a snapshot.
func EncodeSnapshot(s QueueSnapshot) ([]byte, error) {
	state, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode a snapshot: %w", err)
	}
	return state, nil
}

// DecodeSnapshot reads the JSON of a snapshot of SnapshotVersion. It returns a
// *SnapshotError for JSON that is none: the queue's events tell the same.
func DecodeSnapshot(state []byte) (QueueSnapshot, error) {
	var s QueueSnapshot
	if err := json.Unmarshal(state, &s); err != nil {
		return s, &SnapshotError{Err: err}
	}
	if s.MaxCapacity < 1 { // every queue has one: this is another JSON
		return s, &SnapshotError{Err: errors.New("maxCapacity is missing")}
	}
	return s, nil
}

// SnapshotError says that what is stored as a snapshot cannot be read as one.
type SnapshotError struct{ Err error }

func (e *SnapshotError) Error() string { return fmt.Sprintf("decode a snapshot: %v", e.Err) }

// Unwrap returns what is wrong with it.
func (e *SnapshotError) Unwrap() error { return e.Err }
