package waitingroom

import (
	"cmp"
	"fmt"
)

// Queue is the aggregate: one waiting line of a clinic, rebuilt from its events.
// It keeps only the patients whose visit is not over and the rooms that are active,
// so its size is bounded by its capacity and its rooms however many it has seen. It is not safe for
// concurrent use; whoever loads one owns it.
type Queue struct {
	id          string
	maxCapacity int
	version     int64
	snapshotAt  int64
	visits      map[string]Visit
	rooms       map[string]bool // the active ones
	tickets     tickets
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
func (q *Queue) Active() int { return len(q.visits) }

// Visit returns what is known of a patient, and whether the patient has a visit that
// is not over.
func (q *Queue) Visit(patientID string) (visit Visit, active bool) {
	visit, active = q.visits[patientID]
	return visit, active
}

// RoomActive reports whether a consulting room is active.
func (q *Queue) RoomActive(roomID string) bool { return q.rooms[roomID] }

// Apply moves the queue on by events that happened. It never refuses: what is
// stored is a fact.
func (q *Queue) Apply(events ...Event) {
	for _, e := range events {
		q.version++
		q.apply(e)
	}
}

func (q *Queue) apply(e Event) {
	switch e := e.(type) {
	case WaitingQueueCreated:
		q.id, q.maxCapacity = e.QueueID, e.MaxCapacity
	case PatientCheckedIn:
		q.arrive(e)
	case PatientCalledAtCashier:
		q.move(e.PatientID, AtCashier, func(v *Visit) { v.Place = cmp.Or(e.CashierDeskID, DefaultCashierDesk) })
	case PatientPaymentValidated:
		q.move(e.PatientID, WaitingConsultation, leave)
	case PatientPaymentPending:
		q.move(e.PatientID, PaymentPending, func(v *Visit) { v.PaymentAttempts = e.AttemptNumber })
	case PatientAbsentAtCashier:
		q.move(e.PatientID, WaitingCashier, func(v *Visit) { v.Place, v.CashierAbsences = "", e.RetryNumber })
	case PatientClaimedForAttention:
		q.move(e.PatientID, Called, func(v *Visit) { v.Place = e.StationID })
	case PatientCalled:
		q.move(e.PatientID, InConsultation, func(v *Visit) { v.Place = cmp.Or(e.StationID, v.Place) })
	case PatientAbsentAtConsultation:
		q.move(e.PatientID, WaitingConsultation, func(v *Visit) { v.Place, v.ConsultationAbsences = "", e.RetryNumber })
	case PatientCancelledByPayment:
		delete(q.visits, e.PatientID)
	case PatientCancelledByAbsence:
		delete(q.visits, e.PatientID)
	case PatientAttentionCompleted:
		delete(q.visits, e.PatientID)
	case ConsultingRoomActivated:
		q.open(e.ConsultingRoomID)
	case ConsultingRoomDeactivated:
		delete(q.rooms, e.ConsultingRoomID)
	}
}

func (q *Queue) arrive(e PatientCheckedIn) {
	priority, err := ParsePriority(e.Priority)
	if err != nil {
		priority = Low // what is stored is a fact, and the patient has to be served
	}
	q.put(Visit{
		PatientID: e.PatientID, PatientName: e.PatientName, Priority: priority, ConsultationType: e.ConsultationType,
		Arrival: q.version, Status: WaitingCashier,
	})
	q.tickets.take(e.TicketDay)
}

// move changes where a patient stands. Of a patient who has not checked in nothing is
// known that could be changed.
func (q *Queue) move(patientID string, to Status, change func(*Visit)) {
	v, active := q.visits[patientID]
	if !active {
		return
	}
	v.Status = to
	change(&v)
	q.put(v)
}

func leave(v *Visit) { v.Place = "" }

func (q *Queue) put(v Visit) {
	if q.visits == nil {
		q.visits = make(map[string]Visit)
	}
	q.visits[v.PatientID] = v
}

func (q *Queue) open(roomID string) {
	if q.rooms == nil {
		q.rooms = make(map[string]bool)
	}
	q.rooms[roomID] = true
}

func lengthRule(minLength, maxLength int) string {
	if minLength == 0 {
		return fmt.Sprintf("must have at most %d characters", maxLength)
	}
	return fmt.Sprintf("must have %d to %d characters", minLength, maxLength)
}
