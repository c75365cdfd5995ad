package readmodel_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/waitingroom"
)

// patientIDs are those of the patients that the walks know.
var patientIDs = []string{"a", "b", "c", "d"}

// allowedStep is what a queue decides on something that somebody might ask of it; nothing
// where it refuses.
func allowedStep(r *rapid.T, queue *waitingroom.Queue, queueID string) []waitingroom.Event {
	id := rapid.SampledFrom(patientIDs).Draw(r, "patient")
	room := rapid.SampledFrom([]string{"room-1", "room-2"}).Draw(r, "room")
	desk := rapid.SampledFrom([]string{"desk-1", "desk-2"}).Draw(r, "desk")
	events, err := queue.Decide(rapid.SampledFrom([]waitingroom.Command{
		waitingroom.CheckIn{
			QueueID: queueID, PatientID: id, PatientName: "Name of " + id,
			Priority:         rapid.SampledFrom([]string{"Low", "Medium", "High", "Urgent"}).Draw(r, "priority"),
			ConsultationType: "Cardiology", At: tenOClock,
		},
		waitingroom.ActivateConsultingRoom{QueueID: queueID, ConsultingRoomID: room},
		waitingroom.DeactivateConsultingRoom{QueueID: queueID, ConsultingRoomID: room},
		waitingroom.CallNextAtCashier{QueueID: queueID, CashierDeskID: desk},
		waitingroom.ValidatePayment{QueueID: queueID, PatientID: id},
		waitingroom.MarkPaymentPending{QueueID: queueID, PatientID: id},
		waitingroom.CancelPayment{QueueID: queueID, PatientID: id},
		waitingroom.MarkAbsentAtCashier{QueueID: queueID, PatientID: id},
		waitingroom.CallNextForConsultation{QueueID: queueID, StationID: room},
		waitingroom.StartConsultation{QueueID: queueID, PatientID: id},
		waitingroom.FinishConsultation{QueueID: queueID, PatientID: id},
		waitingroom.MarkAbsentAtConsultation{QueueID: queueID, PatientID: id},
	}).Draw(r, "command"))
	if err != nil {
		return nil
	}
	return events
}

// Whatever happens in a clinic, the views show the patients that the queue has, each where
// the queue has them, in the order in which it calls them; the past can be told from the
// events; and a rebuild gives the same rows.
func TestTheViewsAgreeWithTheQueue(t *testing.T) {
	f := newFixture(t)
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		queueID := fmt.Sprintf("agree-%d", run)
		queue := waitingroom.NewQueue(queueID)
		var events []waitingroom.Event
		for range rapid.IntRange(5, 60).Draw(r, "steps") {
			decided := allowedStep(r, queue, queueID)
			queue.Apply(decided...)
			events = append(events, decided...)
		}
		if len(events) == 0 {
			return
		}
		stored := f.store(t, queueID, events...)
		for len(stored) > 0 {
			n := rapid.IntRange(1, len(stored)).Draw(r, "cut")
			if _, err := f.views.Apply(t.Context(), stored[:n]); err != nil {
				r.Fatal(err)
			}
			stored = stored[n:]
		}
		state, err := f.views.QueueStateOf(t.Context(), queueID)
		if err != nil {
			r.Fatal(err)
		}
		wantAgreement(r, queue, state)
		monitor, err := f.views.QueueMonitor(t.Context(), queueID)
		if err != nil {
			r.Fatal(err)
		}
		wantCounts(r, queue, monitor)
		turn, err := f.views.NextTurnOf(t.Context(), queueID)
		wantTurn(r, queue, turn, err)
		past, err := f.views.QueueStateAt(t.Context(), queueID, tenOClock)
		if err != nil {
			r.Fatal(err)
		}
		ignored := cmpopts.IgnoreFields(readmodel.QueueStateView{}, "ProjectedAt", "Pace")
		if diff := cmp.Diff(state, past, ignored, cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("the past differs (-view +events):\n%s", diff)
		}
	})
	live := f.dump(t, "")
	for _, p := range readmodel.Projections() {
		if _, err := f.views.Rebuild(t.Context(), p, nil); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(live, f.dump(t, "")); diff != "" {
		t.Errorf("the rebuilt views differ (-live +rebuilt):\n%s", diff)
	}
}

func wantAgreement(r *rapid.T, queue *waitingroom.Queue, state readmodel.QueueStateView) {
	if len(state.Patients) != queue.Active() {
		r.Fatalf("the view shows %d patients, the queue has %d", len(state.Patients), queue.Active())
	}
	for i, p := range state.Patients {
		v, active := queue.Visit(p.PatientID)
		if !active || string(v.Status) != p.Status || v.Place != p.Place || v.Arrival != p.Arrival || v.Priority.String() != p.Priority {
			r.Fatalf("patient %+v; the queue says %+v, %t", p, v, active)
		}
		if i > 0 {
			before, _ := queue.Visit(state.Patients[i-1].PatientID)
			if before.Before(v) >= 0 {
				r.Fatalf("%+v is shown before %+v", before, v)
			}
		}
	}
	for _, room := range state.Rooms {
		if queue.RoomActive(room.RoomID) != room.IsActive {
			r.Fatalf("%s is active: %t", room.RoomID, !room.IsActive)
		}
	}
}

// wantCounts compares the monitor with those whose consultation has not begun.
func wantCounts(r *rapid.T, queue *waitingroom.Queue, monitor readmodel.QueueMonitor) {
	want := map[string]int{}
	for _, id := range patientIDs {
		if v, active := queue.Visit(id); active && v.Status != waitingroom.InConsultation {
			want[v.Priority.String()]++
			want["all"]++
		}
	}
	got := map[string]int{
		"Urgent": monitor.UrgentPriorityCount, "High": monitor.HighPriorityCount, "Medium": monitor.NormalPriorityCount,
		"Low": monitor.LowPriorityCount, "all": monitor.TotalPatientsWaiting,
	}
	for name, n := range got {
		if n != want[name] {
			r.Fatalf("the monitor counts %v; the queue has %v", got, want)
		}
	}
}

// turnOf is how the next turn names where a patient stands, and how late it comes to one
// who stands there.
func turnOf(s waitingroom.Status) (name string, rank int) {
	switch s {
	case waitingroom.Called:
		return "claimed", 0
	case waitingroom.AtCashier, waitingroom.PaymentPending:
		return "cashier-called", 1
	case waitingroom.InConsultation:
		return "called", 3
	default:
		return "waiting", 2
	}
}

func wantTurn(r *rapid.T, queue *waitingroom.Queue, turn readmodel.Turn, err error) {
	var (
		first  waitingroom.Visit
		status string
		best   = 4
	)
	for _, id := range patientIDs {
		v, active := queue.Visit(id)
		if !active {
			continue
		}
		if name, rank := turnOf(v.Status); rank < best || rank == best && v.Before(first) < 0 {
			first, status, best = v, name, rank
		}
	}
	var notFound *readmodel.NotFoundError
	if best == 4 && errors.As(err, &notFound) {
		return
	}
	inRoom, begun := status == "claimed" || status == "called", status == "called"
	if err != nil || turn.PatientID != first.PatientID || turn.Status != status || turn.Priority != first.Priority.String() ||
		(turn.StationID != nil) != inRoom || inRoom && *turn.StationID != first.Place ||
		(turn.ClaimedAt != nil) != inRoom || (turn.CalledAt != nil) != begun {
		r.Fatalf("the next turn is %+v, error %v; the queue says %s: %+v", turn, err, status, first)
	}
}

func TestEstimates(t *testing.T) {
	waiting := func(id, priority, status, place string, arrival int64) readmodel.PresentPatient {
		return readmodel.PresentPatient{PatientID: id, Priority: priority, Status: status, Place: place, Arrival: arrival}
	}
	open := []readmodel.Room{{RoomID: "r1", IsActive: true}, {RoomID: "r2", IsActive: true}, {RoomID: "r3"}}
	for name, tt := range map[string]struct {
		view  readmodel.QueueStateView
		ahead []string
		wait  time.Duration
	}{
		"nobody else, a free room": {readmodel.QueueStateView{Patients: []readmodel.PresentPatient{waiting("p", "Low", "waiting-cashier", "", 1)}, Rooms: open}, nil, 0},
		"no room is open":          {readmodel.QueueStateView{Patients: []readmodel.PresentPatient{waiting("p", "Low", "waiting-cashier", "", 1)}}, nil, 15 * time.Minute},
		"the pace of the last hour": {
			readmodel.QueueStateView{
				Patients: []readmodel.PresentPatient{waiting("a", "High", "in-consultation", "r1", 1), waiting("b", "High", "called", "r2", 2), waiting("c", "High", "at-cashier", "d", 3), waiting("p", "Low", "waiting-cashier", "", 4)},
				Rooms:    open, Pace: readmodel.Pace{Begun: 7, Every: 4 * time.Minute},
			}, []string{"b", "c"}, 8 * time.Minute,
		},
		"who has yet to pay is not ahead of who has": {
			readmodel.QueueStateView{
				Patients: []readmodel.PresentPatient{waiting("a", "High", "waiting-cashier", "", 1), waiting("b", "High", "waiting-consultation", "", 2), waiting("p", "Low", "waiting-consultation", "", 3), waiting("z", "Low", "waiting-consultation", "", 4)},
				Rooms:    open,
			}, []string{"b"}, 0,
		},
		"the turn has come": {
			readmodel.QueueStateView{Patients: []readmodel.PresentPatient{waiting("a", "High", "called", "r1", 1), waiting("p", "Low", "called", "r2", 2)}, Rooms: open}, nil, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			place, err := tt.view.PlaceOf("p")
			if err != nil {
				t.Fatal(err)
			}
			var ahead []string
			for _, a := range place.Ahead {
				ahead = append(ahead, a.PatientID)
			}
			if diff := cmp.Diff(tt.ahead, ahead); diff != "" || place.Estimate != tt.wait || place.Basis == "" {
				t.Errorf("waits %v (%s), want %v; ahead (-want +got):\n%s", place.Estimate, place.Basis, tt.wait, diff)
			}
		})
	}
	var notFound *readmodel.NotFoundError
	if _, err := (readmodel.QueueStateView{}).PlaceOf("p"); !errors.As(err, &notFound) {
		t.Errorf("nobody's place: %v", err)
	}
}
