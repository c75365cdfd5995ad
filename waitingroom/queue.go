package waitingroom

import "fmt"

// Queue is the aggregate: one waiting line of a clinic, rebuilt from its events.
// It keeps only the patients whose visit is not over, so its size is bounded by
// its capacity however many it has seen. It is not safe for concurrent use;
// whoever loads one owns it.
type Queue struct {
	id          string
	maxCapacity int
	version     int64
	snapshotAt  int64
	patients    map[string]Status
}

// NewQueue returns a queue without events: one that does not exist yet.
func NewQueue(id string) *Queue { return &Queue{id: id} }

// Replay rebuilds a queue from its events, in the order of their versions.
func Replay(events ...Event) *Queue {
	q := &Queue{}
	q.Apply(events...)
	return q
}

// ID is the queue's id; "" for one that was replayed without its creation.
func (q *Queue) ID() string { return q.id }

// Version is the number of events applied so far: the version of the last one.
func (q *Queue) Version() int64 { return q.version }

// MaxCapacity is the most patients that may be in the queue at once.
func (q *Queue) MaxCapacity() int { return q.maxCapacity }

// Active is the number of patients whose visit is not over.
func (q *Queue) Active() int { return len(q.patients) }

// Status returns where a patient stands, and whether the patient has a visit that
// is not over.
func (q *Queue) Status(patientID string) (status Status, active bool) {
	status, active = q.patients[patientID]
	return status, active
}

// CheckIn decides a check-in. A queue that does not exist is created first, with
// maxCapacity places (DefaultMaxCapacity when it is not positive); one that
// exists keeps the capacity it was created with.
//
// It changes nothing: the caller stores the events and then applies them. It
// returns *Error with CodeInvalid, CodeQueueFull or CodeAlreadyCheckedIn.
func (q *Queue) CheckIn(c CheckIn, maxCapacity int) ([]Event, error) {
	c, priority, invalid := c.normalised()
	if invalid != nil {
		return nil, invalid
	}
	if status, active := q.Status(c.PatientID); active {
		return nil, refuse(CodeAlreadyCheckedIn,
			"patient %q is already in queue %q (%s); finish or cancel that visit first", c.PatientID, c.QueueID, status)
	}

	var events []Event
	capacity := q.maxCapacity
	if q.maxCapacity == 0 { // it has no events, or was begun by hand
		if capacity = maxCapacity; capacity <= 0 {
			capacity = DefaultMaxCapacity
		}
		events = append(events, WaitingQueueCreated{QueueID: c.QueueID, QueueName: c.QueueID, MaxCapacity: capacity})
	}
	if q.Active() >= capacity {
		return nil, refuse(CodeQueueFull,
			"queue %q is at its capacity of %d patients; try again when one has left", c.QueueID, capacity)
	}
	return append(events, PatientCheckedIn{
		QueueID:          c.QueueID,
		PatientID:        c.PatientID,
		PatientName:      c.PatientName,
		Priority:         priority.String(),
		ConsultationType: c.ConsultationType,
		Notes:            c.Notes,
		QueuePosition:    q.Active() + 1,
		CheckInTime:      c.At.UTC(),
	}), nil
}

// Apply moves the queue on by events that happened. It never refuses: what is
// stored is a fact.
func (q *Queue) Apply(events ...Event) {
	for _, e := range events {
		q.apply(e)
		q.version++
	}
}

func (q *Queue) apply(e Event) {
	switch e := e.(type) {
	case WaitingQueueCreated:
		q.id, q.maxCapacity = e.QueueID, e.MaxCapacity
	case PatientCheckedIn:
		q.move(e.PatientID, WaitingCashier)
	case PatientCalledAtCashier:
		q.move(e.PatientID, AtCashier)
	case PatientPaymentValidated:
		q.move(e.PatientID, WaitingConsultation)
	case PatientPaymentPending:
		q.move(e.PatientID, PaymentPending)
	case PatientAbsentAtCashier:
		q.move(e.PatientID, WaitingCashier)
	case PatientCancelledByPayment:
		q.move(e.PatientID, CancelledPayment)
	case PatientCancelledByAbsence:
		q.move(e.PatientID, CancelledAbsence)
	case PatientClaimedForAttention:
		q.move(e.PatientID, Called)
	case PatientCalled:
		q.move(e.PatientID, InConsultation)
	case PatientAbsentAtConsultation:
		q.move(e.PatientID, WaitingConsultation)
	case PatientAttentionCompleted:
		q.move(e.PatientID, Completed)
	}
}

// move sets where a patient stands; a patient whose visit is over is forgotten.
func (q *Queue) move(patientID string, to Status) {
	if to.Final() {
		delete(q.patients, patientID)
		return
	}
	if q.patients == nil {
		q.patients = make(map[string]Status)
	}
	q.patients[patientID] = to
}

func lengthRule(minLength, maxLength int) string {
	if minLength == 0 {
		return fmt.Sprintf("must have at most %d characters", maxLength)
	}
	return fmt.Sprintf("must have %d to %d characters", minLength, maxLength)
}
