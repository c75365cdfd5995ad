package readmodel_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/waitingroom"
)

// A patient is walked through a visit, and every view follows each step.
func TestViewsFollowAVisit(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", created("q"), checkedIn("q", "p", "High", 0), checkedIn("q", "other", "Low", 1))...)
	for _, step := range []struct {
		event          waitingroom.Event
		status, turn   string
		nextIs         string
		waiting, shown int
	}{
		{waitingroom.ConsultingRoomActivated{QueueID: "q", ConsultingRoomID: "r"}, "waiting-cashier", "waiting", "p", 2, 2},
		{waitingroom.PatientCalledAtCashier{QueueID: "q", PatientID: "p"}, "at-cashier", "cashier-called", "p", 2, 2},
		{waitingroom.PatientAbsentAtCashier{QueueID: "q", PatientID: "p"}, "waiting-cashier", "waiting", "p", 2, 2},
		{waitingroom.PatientPaymentPending{QueueID: "q", PatientID: "p"}, "payment-pending", "cashier-called", "p", 2, 2},
		{waitingroom.PatientPaymentValidated{QueueID: "q", PatientID: "p"}, "waiting-consultation", "waiting", "p", 2, 2},
		{waitingroom.PatientClaimedForAttention{QueueID: "q", PatientID: "p", StationID: "r"}, "called", "claimed", "p", 2, 2},
		{waitingroom.PatientAbsentAtConsultation{QueueID: "q", PatientID: "p"}, "waiting-consultation", "waiting", "p", 2, 2},
		{waitingroom.PatientCalled{QueueID: "q", PatientID: "p", StationID: "r"}, "in-consultation", "called", "other", 1, 2},
		{waitingroom.PatientAttentionCompleted{QueueID: "q", PatientID: "p", PatientName: "Name of p", Outcome: "well"}, "", "", "other", 1, 1},
	} {
		t.Run(step.event.EventName(), func(t *testing.T) {
			f.apply(t, f.store(t, "q", step.event)...)
			state, err := f.views.QueueStateOf(t.Context(), "q")
			if err != nil {
				t.Fatal(err)
			}
			status := ""
			for _, p := range state.Patients {
				if p.PatientID == "p" {
					status = p.Status
				}
			}
			if status != step.status || len(state.Patients) != step.shown || state.MaxCapacity != 100 {
				t.Errorf("queue state %q with %d patients of %d, want %q with %d", status, len(state.Patients), state.MaxCapacity, step.status, step.shown)
			}
			queue, err := f.views.QueueMonitor(t.Context(), "q")
			if err != nil || queue.TotalPatientsWaiting != step.waiting {
				t.Errorf("%d wait, error %v; want %d", queue.TotalPatientsWaiting, err, step.waiting)
			}
			next, err := f.views.NextTurnOf(t.Context(), "q")
			if err != nil || next.PatientID != step.nextIs || (next.PatientID == "p" && next.Status != step.turn) {
				t.Errorf("next turn is %s (%s), error %v; want %s (%s)", next.PatientID, next.Status, err, step.nextIs, step.turn)
			}
		})
	}
	visits, err := f.views.RecentHistory(t.Context(), "q", 0, 20)
	if err != nil {
		t.Fatal(err)
	}
	want := []readmodel.FinishedVisit{{
		Version: 12, PatientID: "p", PatientName: "Name of p", Outcome: "well", CompletedAt: tenOClock, CheckInTime: &tenOClock, BegunAt: &tenOClock,
	}}
	if diff := cmp.Diff(want, visits); diff != "" {
		t.Errorf("history differs (-want +got):\n%s", diff)
	}
}

func TestCancelledPatientsLeaveTheViews(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", created("q"), checkedIn("q", "a", "High", 0), checkedIn("q", "b", "Urgent", 1),
		waitingroom.PatientCancelledByPayment{QueueID: "q", PatientID: "a"},
		waitingroom.PatientCancelledByAbsence{QueueID: "q", PatientID: "b"})...)
	queue, err := f.views.QueueMonitor(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	if queue.TotalPatientsWaiting != 0 || queue.HighPriorityCount != 0 || queue.UrgentPriorityCount != 0 || queue.AverageWait != 0 {
		t.Errorf("the monitor still shows %+v", queue)
	}
	state, err := f.views.QueueStateOf(t.Context(), "q")
	if err != nil || len(state.Patients) != 0 {
		t.Errorf("the queue state shows %v, error %v", state.Patients, err)
	}
	_, err = f.views.NextTurnOf(t.Context(), "q")
	var notFound *readmodel.NotFoundError
	if !errors.As(err, &notFound) {
		t.Errorf("the next turn of an empty queue: %v", err)
	}
}

func TestPriorityThenArrivalOrdersTheLine(t *testing.T) {
	f := newFixture(t)
	// The clock went back before the third arrival.
	f.apply(t, f.store(t, "q", created("q"), checkedIn("q", "low", "Low", 0), checkedIn("q", "high", "High", 3),
		checkedIn("q", "medium", "Medium", 2), checkedIn("q", "high-late", "High", 1), checkedIn("q", "urgent", "Urgent", 4))...)
	state, err := f.views.QueueStateOf(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, p := range state.Patients {
		order = append(order, p.PatientID)
	}
	if diff := cmp.Diff([]string{"urgent", "high", "high-late", "medium", "low"}, order); diff != "" {
		t.Errorf("order differs (-want +got):\n%s", diff)
	}
	if next, err := f.views.NextTurnOf(t.Context(), "q"); err != nil || next.PatientID != "urgent" {
		t.Errorf("next is %q, error %v", next.PatientID, err)
	}
}

func TestMonitorCountsAndAverages(t *testing.T) {
	f := newFixture(t)
	now := time.Now().UTC()
	recent := func(id, priority string, ago time.Duration) waitingroom.Event {
		e := checkedIn("q", id, priority, 1).(waitingroom.PatientCheckedIn)
		e.CheckInTime = now.Add(-ago)
		return e
	}
	f.apply(t, f.store(t, "q", created("q"), recent("a", "Low", 10*time.Minute), recent("b", "Medium", 20*time.Minute),
		recent("c", "High", 30*time.Minute), recent("d", "Urgent", 0))...)
	f.apply(t, f.store(t, "r", created("r"))...)
	got, err := f.views.QueueMonitors(t.Context(), "", 10)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d queues, error %v", len(got), err)
	}
	q := got[0]
	if q.LowPriorityCount != 1 || q.NormalPriorityCount != 1 || q.HighPriorityCount != 1 || q.UrgentPriorityCount != 1 || q.TotalPatientsWaiting != 4 {
		t.Errorf("counts are %+v", q)
	}
	if off := (q.AverageWait - 15*time.Minute).Abs(); off > time.Minute {
		t.Errorf("average wait is %v, want about 15 min", q.AverageWait)
	}
	if q.LastPatientCheckedInAt == nil || q.LastPatientCheckedInAt.Sub(now).Abs() > time.Millisecond {
		t.Errorf("last check-in is %v, want %v", q.LastPatientCheckedInAt, now)
	}
	if page, err := f.views.QueueMonitors(t.Context(), "q", 10); err != nil || len(page) != 1 || page[0].QueueID != "r" {
		t.Errorf("the page behind q is %v, error %v", page, err)
	}
}
