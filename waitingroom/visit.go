package waitingroom

import "cmp"

// Visit is what a queue knows of a patient whose visit is not over.
type Visit struct {
	PatientID        string
	PatientName      string
	Priority         Priority
	ConsultationType string
	// Arrival is the queue's version after the check-in: among equal priorities the
	// lower one is called first, whatever the clocks said.
	Arrival int64
	Status  Status
	// Place is the desk or the consulting room that the patient takes up, "" for none.
	Place string
	// PaymentAttempts is how often the payment could not be made.
	PaymentAttempts int
	// CashierAbsences and ConsultationAbsences are how often the patient did not come
	// when called.
	CashierAbsences      int
	ConsultationAbsences int
}

// Before orders the patients of a line: the higher priority first, and among equals
// the earlier arrival. It is negative where v comes first.
func (v Visit) Before(other Visit) int {
	return cmp.Or(cmp.Compare(other.Priority, v.Priority), cmp.Compare(v.Arrival, other.Arrival))
}

// atDesk reports whether the patient takes up a cashier's desk: also while a payment
// is pending.
func (v Visit) atDesk() bool { return v.Status == AtCashier || v.Status == PaymentPending }

// inRoom reports whether the patient takes up a consulting room.
func (v Visit) inRoom() bool { return v.Status == Called || v.Status == InConsultation }

// first is the patient of a line who is called next.
func (q *Queue) first(line Status) (next Visit, found bool) {
	for _, v := range q.visits {
		if v.Status == line && (!found || v.Before(next) < 0) {
			next, found = v, true
		}
	}
	return next, found
}

// takenBy is the patient who takes up a place.
func (q *Queue) takenBy(place string, takes func(Visit) bool) (patientID string, taken bool) {
	for _, v := range q.visits {
		if v.Place == place && takes(v) {
			return v.PatientID, true
		}
	}
	return "", false
}

// present refuses a command about a queue that does not exist.
func (q *Queue) present(queueID string) error {
	if q.version == 0 {
		return refuse(CodeQueueNotFound, "there is no queue %q; its first check-in creates it", queueID)
	}
	return nil
}

// visit is that of a patient who stands where the command takes its step from.
func (q *Queue) visit(queueID, patientID, step string, from ...Status) (Visit, error) {
	if err := q.present(queueID); err != nil {
		return Visit{}, err
	}
	v, active := q.visits[patientID]
	if !active {
		return v, refuse(CodePatientNotFound,
			"patient %q has no visit in queue %q that is not over; check the patient in first", patientID, queueID)
	}
	for _, s := range from {
		if v.Status == s {
			return v, nil
		}
	}
	return v, refuse(CodeWrongStep, "patient %q of queue %q is %s; to %s takes %s", patientID, queueID, v.Status, step, either(from))
}

func either(statuses []Status) (text string) {
	for i, s := range statuses {
		if i > 0 {
			text += " or "
		}
		text += string(s)
	}
	return text
}
