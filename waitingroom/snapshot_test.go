package waitingroom_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/rlapp/rlapp/waitingroom"
)

// A queue that goes on from a snapshot is the queue that went on without one.
func TestASnapshotContinuesTheQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := waitingroom.Replay(created(3))
		walk(t, whole, rapid.IntRange(0, 30).Draw(t, "before"))
		restored := waitingroom.NewQueue("another")
		restored.Restore(whole.Snapshot())
		for _, e := range walk(t, whole, rapid.IntRange(0, 30).Draw(t, "after")) {
			restored.Apply(e)
		}
		if diff := cmp.Diff(whole.Snapshot(), restored.Snapshot(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("the restored queue differs (-whole +restored):\n%s", diff)
		}
	})
}

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
