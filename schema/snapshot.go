package schema

import (
	"encoding/json"
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

// DecodeSnapshot reads the JSON of a snapshot of SnapshotVersion.
func DecodeSnapshot(state []byte) (QueueSnapshot, error) {
	var s QueueSnapshot
	if err := json.Unmarshal(state, &s); err != nil {
		return s, fmt.Errorf("decode a snapshot: %w", err)
	}
	return s, nil
}
