package readmodel

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/rlapp/rlapp/schema"
)

// pastPage is the number of events that are read at a time.
const pastPage = 1000

// QueueStateAt returns the state that a queue had at a moment, from its events: it takes
// the longer the more of them there are. It returns *NotFoundError for a queue that did
// not exist then.
func (s *Store) QueueStateAt(ctx context.Context, queueID string, at time.Time) (QueueStateView, error) {
	past := pastQueue{patients: map[string]PresentPatient{}, rooms: map[string]Room{}}
	for version := int64(0); ; {
		events, err := s.EventsAfter(ctx, queueID, version, pastPage)
		if err != nil {
			return QueueStateView{}, err
		}
		for _, r := range events {
			if r.Metadata.OccurredAt.After(at) {
				return past.view(queueID, at)
			}
			past.apply(r)
			version = r.Metadata.Version
		}
		if len(events) < pastPage {
			return past.view(queueID, at)
		}
	}
}

// pastQueue is a queue as far as its events have been read.
type pastQueue struct {
	capacity int
	patients map[string]PresentPatient
	rooms    map[string]Room
	// waited are the waits that ended.
	waited []pastWait
	last   time.Time
}

type pastWait struct{ checkedIn, started time.Time }

func (q *pastQueue) apply(r schema.Recorded) {
	q.last = r.Metadata.OccurredAt
	switch e := r.Event.(type) {
	case schema.WaitingQueueCreated:
		q.capacity = e.MaxCapacity
	case schema.ConsultingRoomActivated:
		q.rooms[e.ConsultingRoomID] = Room{RoomID: e.ConsultingRoomID, IsActive: true, ChangedAt: q.last}
	case schema.ConsultingRoomDeactivated:
		q.rooms[e.ConsultingRoomID] = Room{RoomID: e.ConsultingRoomID, ChangedAt: q.last}
	case schema.PatientCheckedIn:
		q.patients[e.PatientID] = PresentPatient{
			PatientID: e.PatientID, PatientName: e.PatientName, Priority: e.Priority, ConsultationType: e.ConsultationType, Notes: e.Notes,
			Status: "waiting-cashier", TicketNumber: e.TicketNumber, Arrival: r.Metadata.Version, CheckInTime: e.CheckInTime,
		}
	default:
		q.move(e)
	}
}

func (q *pastQueue) move(e schema.Event) {
	s, ok := stepOf(e)
	p, here := q.patients[s.patientID]
	switch {
	case !ok || !here:
		return
	case s.over():
		delete(q.patients, s.patientID)
		return
	case s.status == "in-consultation" && p.Status != s.status:
		q.waited = append(q.waited, pastWait{p.CheckInTime, q.last})
	}
	if p.Status = s.status; !s.keepsPlace {
		p.Place = s.place
	}
	q.patients[s.patientID] = p
}

func (q *pastQueue) view(queueID string, at time.Time) (QueueStateView, error) {
	if q.last.IsZero() {
		return QueueStateView{}, &NotFoundError{Kind: KindQueue, ID: queueID}
	}
	view := QueueStateView{QueueID: queueID, MaxCapacity: q.capacity, Pace: q.pace(at), ProjectedAt: q.last}
	for _, p := range q.patients {
		view.Patients = append(view.Patients, p)
	}
	slices.SortFunc(view.Patients, func(a, b PresentPatient) int {
		return cmp.Or(cmp.Compare(rank(b.Priority), rank(a.Priority)), cmp.Compare(a.Arrival, b.Arrival))
	})
	for _, r := range q.rooms {
		view.Rooms = append(view.Rooms, r)
	}
	slices.SortFunc(view.Rooms, func(a, b Room) int { return strings.Compare(a.RoomID, b.RoomID) })
	return view, nil
}

func rank(priority string) int {
	return slices.Index([]string{"Low", "Medium", "High", "Urgent"}, priority)
}

// pace is that of the hour before a moment.
func (q *pastQueue) pace(at time.Time) (p Pace) {
	var first, last time.Time
	for _, w := range q.waited {
		if !w.started.After(at.Add(-time.Hour)) {
			continue
		}
		if p.Begun++; p.Begun == 1 {
			first = w.started
		}
		p.Waited, last = p.Waited+w.started.Sub(w.checkedIn), w.started
	}
	if p.Begun > 0 {
		p.Waited /= time.Duration(p.Begun)
	}
	if p.Begun > 1 {
		p.Every = last.Sub(first) / time.Duration(p.Begun-1)
	}
	return p
}
