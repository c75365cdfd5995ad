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

// allowedStep is what a queue decides on something that somebody might ask of it; nothing
// where it refuses.
func allowedStep(r *rapid.T, queue *waitingroom.Queue, queueID string) []waitingroom.Event {
	id := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(r, "patient")
	room := rapid.SampledFrom([]string{"room-1", "room-2"}).Draw(r, "room")
	desk := rapid.SampledFrom([]string{"desk-1", "desk-2"}).Draw(r, "desk")
	events, err := queue.Decide(rapid.SampledFrom([]waitingroom.Command{
		waitingroom.CheckIn{
			QueueID: queueID, PatientID: id, PatientName: "Name of " + id, Priority: rapid.SampledFrom([]string{"Low", "Urgent"}).Draw(r, "priority"),
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
