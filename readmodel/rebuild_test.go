package readmodel_test

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

func TestARebuildEqualsTheLiveViews(t *testing.T) {
	f := newFixture(t)
	for q := range 5 {
		queueID := fmt.Sprintf("q%d", q)
		f.apply(t, f.store(t, queueID, history(queueID, []int{q, 9, 8, 5, 3, 7})...)...)
	}
	live := f.dump(t, "")
	// Rows that a rebuild must mend.
	for _, statement := range []string{
		"UPDATE waiting_queue_view SET total_patients_waiting = 77", "DELETE FROM waiting_patients_view",
		"UPDATE next_turn_view SET priority = 'Low'", "DELETE FROM recent_history_view WHERE queue_id = 'q1'",
	} {
		if _, err := f.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range readmodel.Projections() {
		if _, err := f.views.Rebuild(t.Context(), p, nil); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(live, f.dump(t, "")); diff != "" {
		t.Errorf("the rebuilt views differ (-live +rebuilt):\n%s", diff)
	}
	// Live events go on where the rebuild ended, and old ones stay duplicates.
	events := f.store(t, "q0", checkedIn("q0", "late", "Low", 50))
	if applied, err := f.applyTo(t, readmodel.Monitor, events[0]); err != nil || applied != 1 {
		t.Errorf("the next event applied %d, error %v", applied, err)
	}
}

func TestAFailedRebuildLeavesTheOldViews(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", created("q"), checkedIn("q", "p", "Low", 0))...)
	before := f.dump(t, "")
	_, err := f.pool.Exec(t.Context(), `INSERT INTO waiting_room_events (aggregate_id, event_name, payload) VALUES ('q', 'Unheard', '{}')`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.views.Rebuild(t.Context(), readmodel.Monitor, nil)
	var unknown *schema.UnknownEventError
	if !errors.As(err, &unknown) {
		t.Fatalf("got %v, want an unknown event", err)
	}
	if diff := cmp.Diff(before, f.dump(t, "")); diff != "" {
		t.Errorf("a failed rebuild changed the views:\n%s", diff)
	}
}

func TestTheOldViewAnswersDuringARebuild(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", created("q"), checkedIn("q", "p", "Low", 0))...)
	seen := 0
	_, err := f.views.Rebuild(t.Context(), readmodel.Monitor, func(readmodel.Progress) {
		queue, err := f.views.QueueMonitor(t.Context(), "q")
		if err != nil || queue.TotalPatientsWaiting != 1 {
			t.Errorf("during the rebuild the view shows %d patients, error %v", queue.TotalPatientsWaiting, err)
		}
		seen++
	})
	if err != nil || seen == 0 {
		t.Errorf("the rebuild reported %d times, error %v", seen, err)
	}
}

func TestTheRebuilderRunsOneRebuildAProjection(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", created("q"))...)
	tx, err := f.pool.Begin(t.Context()) // holds the rebuild up
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE waiting_queue_view"); err != nil {
		t.Fatal(err)
	}
	rebuilder := readmodel.NewRebuilder(f.views, slog.New(slog.DiscardHandler))
	defer rebuilder.Close()
	if err := rebuilder.Start(readmodel.Monitor); err != nil {
		t.Fatal(err)
	}
	var running *readmodel.RebuildRunningError
	if err := rebuilder.Start(readmodel.History, readmodel.Monitor); !errors.As(err, &running) || rebuilder.Running("history") {
		t.Errorf("a second start gave %v and started history: %t", err, rebuilder.Running("history"))
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return !rebuilder.Running("monitor") })
	checkpoint, err := f.views.CheckpointOf(t.Context(), "monitor")
	if err != nil || checkpoint.RebuiltAt == nil {
		t.Errorf("after the rebuild the checkpoint is %+v, error %v", checkpoint, err)
	}
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not within 10 s")
		}
	}
}

// An event whose projection is being rebuilt comes again, and holds no
// connection meanwhile; its lag is known although the rebuild applied it.
func TestAnEventDuringARebuildComesAgain(t *testing.T) {
	f := newFixture(t)
	event := f.store(t, "q", created("q"))[0]
	_, err := f.views.Rebuild(t.Context(), readmodel.Monitor, func(readmodel.Progress) {
		_, err := f.applyTo(t, readmodel.Monitor, event)
		var rebuilding *readmodel.RebuildingError
		if !errors.As(err, &rebuilding) {
			t.Errorf("during the rebuild: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if applied, err := f.applyTo(t, readmodel.Monitor, event); err != nil || applied != 0 {
		t.Errorf("after the rebuild it applied %d, error %v", applied, err)
	}
	var status string
	if err := f.pool.QueryRow(t.Context(), "SELECT status FROM event_processing_lag WHERE total_lag_ms IS NOT NULL").Scan(&status); err != nil || status != "PROCESSED" {
		t.Errorf("its lag is %q, error %v", status, err)
	}
}
