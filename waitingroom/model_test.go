package waitingroom_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/rlapp/rlapp/waitingroom"
)

// model is a clinic as one would keep it on a sheet of paper: it knows none of the
// aggregate's code.
type model struct {
	capacity int
	people   []*person // present, in the order of their arrival
	rooms    map[string]bool
	over     int // visits that have ended
	came     int
}

type person struct {
	id                   string
	rank                 int
	state                string
	place                string
	pending, away, away2 int
}

func (m *model) find(id string) *person {
	for _, p := range m.people {
		if p.id == id {
			return p
		}
	}
	return nil
}

func (m *model) at(place string, states ...string) bool {
	return slices.ContainsFunc(m.people, func(p *person) bool { return p.place == place && slices.Contains(states, p.state) })
}

// next is who has waited longest among those of the highest rank.
func (m *model) next(state string) *person {
	var line []*person
	for _, p := range m.people {
		if p.state == state {
			line = append(line, p)
		}
	}
	slices.SortStableFunc(line, func(a, b *person) int { return cmp.Compare(b.rank, a.rank) })
	if len(line) == 0 {
		return nil
	}
	return line[0]
}

func (m *model) leave(p *person) {
	m.people = slices.DeleteFunc(m.people, func(other *person) bool { return other == p })
	m.over++
}

// take does what the table of the rules says, and reports whether it allows the step.
func (m *model) take(c waitingroom.Command) bool {
	if m.came == 0 {
		if _, ok := c.(waitingroom.CheckIn); !ok {
			return false
		}
	}
	switch c := c.(type) {
	case waitingroom.CheckIn:
		if m.find(c.PatientID) != nil || len(m.people) >= m.capacity {
			return false
		}
		rank := map[string]int{"Low": 1, "Medium": 2, "High": 3, "Urgent": 4}[c.Priority]
		if (c.Pregnant || c.Age != nil && (*c.Age < 18 || *c.Age > 65)) && rank < 3 {
			rank = 3
		}
		m.people, m.came = append(m.people, &person{id: c.PatientID, rank: rank, state: "waiting-cashier"}), m.came+1
		return true
	case waitingroom.ActivateConsultingRoom:
		was := m.rooms[c.ConsultingRoomID]
		m.rooms[c.ConsultingRoomID] = true
		return !was
	case waitingroom.DeactivateConsultingRoom:
		if !m.rooms[c.ConsultingRoomID] || m.at(c.ConsultingRoomID, "called", "in-consultation") {
			return false
		}
		m.rooms[c.ConsultingRoomID] = false
		return true
	case waitingroom.CallNextAtCashier:
		p := m.next("waiting-cashier")
		if p == nil || m.at(c.CashierDeskID, "at-cashier", "payment-pending") {
			return false
		}
		p.state, p.place = "at-cashier", c.CashierDeskID
		return true
	case waitingroom.CallNextForConsultation:
		p := m.next("waiting-consultation")
		if p == nil || !m.rooms[c.StationID] || m.at(c.StationID, "called", "in-consultation") {
			return false
		}
		p.state, p.place = "called", c.StationID
		return true
	default:
		return m.takeOf(c)
	}
}

// takeOf is about one patient.
func (m *model) takeOf(c waitingroom.Command) bool {
	at := func(id string, states ...string) *person {
		if p := m.find(id); p != nil && slices.Contains(states, p.state) {
			return p
		}
		return nil
	}
	switch c := c.(type) {
	case waitingroom.ValidatePayment:
		if p := at(c.PatientID, "at-cashier", "payment-pending"); p != nil {
			p.state, p.place = "waiting-consultation", ""
			return true
		}
	case waitingroom.MarkPaymentPending:
		if p := at(c.PatientID, "at-cashier", "payment-pending"); p != nil && p.pending < 3 {
			p.state, p.pending = "payment-pending", p.pending+1
			return true
		}
	case waitingroom.CancelPayment:
		if p := at(c.PatientID, "payment-pending"); p != nil && p.pending == 3 {
			m.leave(p)
			return true
		}
	case waitingroom.MarkAbsentAtCashier:
		if p := at(c.PatientID, "at-cashier"); p != nil {
			if p.away++; p.away == 3 {
				m.leave(p)
			} else {
				p.state, p.place = "waiting-cashier", ""
			}
			return true
		}
	case waitingroom.MarkAbsentAtConsultation:
		if p := at(c.PatientID, "called"); p != nil {
			if p.away2++; p.away2 == 2 {
				m.leave(p)
			} else {
				p.state, p.place = "waiting-consultation", ""
			}
			return true
		}
	case waitingroom.StartConsultation:
		if p := at(c.PatientID, "called"); p != nil {
			p.state = "in-consultation"
			return true
		}
	case waitingroom.FinishConsultation:
		if p := at(c.PatientID, "in-consultation"); p != nil {
			m.leave(p)
			return true
		}
	}
	return false
}

var anyone = rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g"})

// anyCommand draws a step that somebody might ask for, whether or not it is allowed.
func anyCommand(t *rapid.T, capacity int) waitingroom.Command {
	id := anyone.Draw(t, "patient")
	room := rapid.SampledFrom([]string{"room-1", "room-2"}).Draw(t, "room")
	desk := rapid.SampledFrom([]string{"desk-1", "desk-2"}).Draw(t, "desk")
	arrives := checkIn(func(c *waitingroom.CheckIn) {
		c.PatientID, c.MaxCapacity = id, capacity
		c.Priority = rapid.SampledFrom([]string{"Low", "Medium", "High", "Urgent"}).Draw(t, "priority")
		c.Pregnant = rapid.IntRange(0, 5).Draw(t, "pregnant") == 0
		if age := rapid.IntRange(-50, 100).Draw(t, "age"); age >= 0 {
			c.Age = &age
		}
	})
	return rapid.SampledFrom([]waitingroom.Command{
		arrives, arrives, arrives,
		waitingroom.ActivateConsultingRoom{QueueID: q1, ConsultingRoomID: room},
		waitingroom.DeactivateConsultingRoom{QueueID: q1, ConsultingRoomID: room},
		waitingroom.CallNextAtCashier{QueueID: q1, CashierDeskID: desk},
		waitingroom.CallNextAtCashier{QueueID: q1, CashierDeskID: desk},
		waitingroom.ValidatePayment{QueueID: q1, PatientID: id},
		waitingroom.ValidatePayment{QueueID: q1, PatientID: id},
		waitingroom.MarkPaymentPending{QueueID: q1, PatientID: id},
		waitingroom.MarkPaymentPending{QueueID: q1, PatientID: id},
		waitingroom.CancelPayment{QueueID: q1, PatientID: id},
		waitingroom.MarkAbsentAtCashier{QueueID: q1, PatientID: id},
		waitingroom.CallNextForConsultation{QueueID: q1, StationID: room},
		waitingroom.CallNextForConsultation{QueueID: q1, StationID: room},
		waitingroom.StartConsultation{QueueID: q1, PatientID: id},
		waitingroom.FinishConsultation{QueueID: q1, PatientID: id},
		waitingroom.MarkAbsentAtConsultation{QueueID: q1, PatientID: id},
	}).Draw(t, "command")
}

// walk takes random steps that are allowed, and returns what happened.
func walk(t *rapid.T, queue *waitingroom.Queue, steps int) (history []waitingroom.Event) {
	for range steps {
		if events, err := queue.Decide(anyCommand(t, 5)); err == nil {
			queue.Apply(events...)
			history = append(history, events...)
		}
	}
	return history
}

// Whatever is asked in whatever order, the aggregate does what the table of the rules
// says, and refuses the rest.
func TestTheQueueKeepsToItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 6).Draw(t, "capacity")
		queue, paper := waitingroom.NewQueue(q1), &model{capacity: capacity, rooms: map[string]bool{}}
		var history []waitingroom.Event
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			command := anyCommand(t, capacity)
			allowed := paper.take(command)
			events, err := queue.Decide(command)
			var refusal *waitingroom.Error
			if allowed != (err == nil) || err != nil && (!errors.As(err, &refusal) || len(events) > 0) {
				t.Fatalf("%#v: the table allows it: %t; the queue says %v, %v", command, allowed, events, err)
			}
			queue.Apply(events...)
			history = append(history, events...)
			compare(t, paper, queue)
		}
		again := waitingroom.NewQueue(q1)
		again.Apply(history...)
		if fmt.Sprint(again.Snapshot()) != fmt.Sprint(queue.Snapshot()) {
			t.Fatalf("a replay gives another queue:\n%v\n%v", again.Snapshot(), queue.Snapshot())
		}
	})
}

func compare(t *rapid.T, paper *model, queue *waitingroom.Queue) {
	if queue.Active() != len(paper.people) || paper.came != paper.over+len(paper.people) {
		t.Fatalf("%d came, %d left, %d are there; the queue has %d", paper.came, paper.over, len(paper.people), queue.Active())
	}
	if queue.Active() > paper.capacity {
		t.Fatalf("%d patients in a queue of %d", queue.Active(), paper.capacity)
	}
	taken := map[string]string{}
	for _, p := range paper.people {
		v, active := queue.Visit(p.id)
		if !active || string(v.Status) != p.state || v.Place != p.place || int(v.Priority) != p.rank ||
			v.PaymentAttempts != p.pending || v.CashierAbsences != p.away || v.ConsultationAbsences != p.away2 {
			t.Fatalf("patient %+v; the queue says %+v, %t", p, v, active)
		}
		if other, busy := taken[v.Place]; busy && v.Place != "" {
			t.Fatalf("%s serves both %s and %s", v.Place, other, p.id)
		}
		taken[v.Place] = p.id
	}
	for room, active := range paper.rooms {
		if queue.RoomActive(room) != active {
			t.Fatalf("%s is active: %t; the queue says %t", room, active, !active)
		}
	}
}
