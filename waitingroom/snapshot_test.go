package waitingroom_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rlapp/rlapp/waitingroom"
)

// step draws an event that may come next in any queue.
func step(t *rapid.T) waitingroom.Event {
	patient := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "patient")
	return rapid.SampledFrom([]waitingroom.Event{
		waitingroom.PatientCheckedIn{PatientID: patient},
		waitingroom.PatientCalledAtCashier{PatientID: patient},
		waitingroom.PatientPaymentValidated{PatientID: patient},
		waitingroom.PatientAttentionCompleted{PatientID: patient},
		waitingroom.PatientCancelledByAbsence{PatientID: patient},
	}).Draw(t, "event")
}

// A queue that goes on from a snapshot is the queue that went on without one.
func TestASnapshotContinuesTheQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := waitingroom.Replay(created(3))
		for range rapid.IntRange(0, 30).Draw(t, "before") {
			whole.Apply(step(t))
		}
		restored := waitingroom.NewQueue("another")
		restored.Restore(whole.Snapshot())
		for range rapid.IntRange(0, 30).Draw(t, "after") {
			e := step(t)
			whole.Apply(e)
			restored.Apply(e)
		}
		if diff := cmp.Diff(whole, restored, cmp.AllowUnexported(waitingroom.Queue{}), equateEmpty); diff != "" {
			t.Fatalf("the restored queue differs (-whole +restored):\n%s", diff)
		}
	})
}

var equateEmpty = cmp.Transformer("nilIsEmpty", func(m map[string]waitingroom.Status) map[string]waitingroom.Status {
	if m == nil {
		return map[string]waitingroom.Status{}
	}
	return m
})

func TestSnapshotsAreDueLessOftenInAQueueWithManyPatients(t *testing.T) {
	queue := waitingroom.NewQueue("queue-1")
	snapshots := 0
	const patients = 10_000
	for n := range patients {
		queue.Apply(waitingroom.PatientCheckedIn{PatientID: fmt.Sprint(n)})
		if queue.SnapshotDue(100) {
			snapshots++
			queue.Snapshot()
		}
	}
	if snapshots < 5 || snapshots > 10 { // at 100, 200, 400, …
		t.Errorf("%d snapshots for %d patients", snapshots, patients)
	}
	for range patients {
		queue.Apply(waitingroom.ConsultingRoomActivated{})
	}
	if !queue.SnapshotDue(100) {
		t.Error("none is due after many more events")
	}
}
