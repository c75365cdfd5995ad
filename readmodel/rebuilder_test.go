package readmodel_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/rlapp/rlapp/readmodel"
)

// process is another process on the same database, as far as its rebuilds go.
func (f fixture) process(t *testing.T) *readmodel.Rebuilder {
	t.Helper()
	rebuilder := readmodel.NewRebuilder(readmodel.NewStore(f.pool), slog.New(slog.DiscardHandler))
	t.Cleanup(rebuilder.Close)
	return rebuilder
}

// wantRunning fails unless err says that a projection is being rebuilt.
func wantRunning(t *testing.T, what string, p readmodel.Projection, err error) {
	t.Helper()
	var running *readmodel.RebuildRunningError
	if !errors.As(err, &running) || running.ProjectionID != p.ID {
		t.Errorf("%s of %s: %v", what, p.ID, err)
	}
}

// What another process does is refused, and not recorded.
func TestWhatAnotherProcessRebuildsIsRefused(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", created("q"))...)
	f.rebuild(t, readmodel.Monitor) // there are tables to go back to
	tx, err := f.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "LOCK TABLE waiting_queue_view"); err != nil { // holds the rebuild up
		t.Fatal(err)
	}
	first, second := f.process(t), f.process(t)
	if err := first.Start(readmodel.Unrecorded, readmodel.Monitor); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return f.state(t, readmodel.Monitor).EndedAt == nil }) // it has its lock by then
	recorded := 0
	record := func() error { recorded++; return nil }
	wantRunning(t, "a rebuild", readmodel.Monitor, second.Start(record, readmodel.Monitor))
	wantRunning(t, "a rebuild of several", readmodel.Monitor, second.Start(record, readmodel.History, readmodel.Monitor))
	wantRunning(t, "a rollback", readmodel.Monitor, second.RollBack(t.Context(), record, readmodel.Monitor))
	if recorded != 0 || second.Running("monitor") || second.Running("history") {
		t.Errorf("recorded %d, running: monitor %t, history %t", recorded, second.Running("monitor"), second.Running("history"))
	}
	// Others may be rebuilt, and queues, too.
	if err := errors.Join(second.Start(record, readmodel.History), second.StartQueue(record, "q")); err != nil || recorded != 2 {
		t.Errorf("others: %v, recorded %d", err, recorded)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return !first.Running("monitor") })
	if err := second.Start(record, readmodel.Monitor); err != nil || recorded != 3 {
		t.Errorf("after its end: %v, recorded %d", err, recorded)
	}
	eventually(t, func() bool { return !second.Running("monitor") && !second.Running("history") })
}

// The lock of each projection is found: its number may be one below zero.
func TestEachProjectionThatAnotherProcessRebuildsIsRefused(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", created("q"), checkedIn("q", "p", "Low", 0))...)
	second := f.process(t)
	for _, p := range readmodel.Projections() {
		seen := 0
		_, err := f.views.Rebuild(t.Context(), p, func(readmodel.Progress) {
			seen++
			wantRunning(t, "a rebuild", p, second.Start(readmodel.Unrecorded, readmodel.Projections()...))
		})
		if err != nil || seen == 0 {
			t.Errorf("the rebuild of %s reported %d times, error %v", p.ID, seen, err)
		}
	}
}

// A rollback has taken the kept tables: they are not missing, but in its hands.
func TestWhatAnotherProcessRollsBackIsRefused(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", created("q"))...)
	f.rebuild(t, readmodel.Monitor)
	f.apply(t, f.store(t, "q", checkedIn("q", "p", "Low", 0))...)
	second, recorded, seen := f.process(t), 0, 0
	record := func() error { recorded++; return nil }
	err := f.views.RollBack(t.Context(), readmodel.Monitor, func(readmodel.Progress) {
		seen++
		wantRunning(t, "a rollback", readmodel.Monitor, second.RollBack(t.Context(), record, readmodel.Monitor))
		wantRunning(t, "a rebuild", readmodel.Monitor, second.Start(record, readmodel.Monitor))
	})
	if err != nil || seen == 0 || recorded != 0 {
		t.Errorf("the rollback reported %d times, error %v; recorded %d", seen, err, recorded)
	}
}

// Another database's locks are none of ours.
func TestAnotherDatabaseMayBeRebuiltMeanwhile(t *testing.T) {
	f, other := newFixture(t), newFixture(t)
	f.apply(t, f.store(t, "q", created("q"))...)
	second, seen := other.process(t), 0
	_, err := f.views.Rebuild(t.Context(), readmodel.Monitor, func(readmodel.Progress) {
		if seen++; seen > 1 {
			return
		}
		if err := second.Start(readmodel.Unrecorded, readmodel.Monitor); err != nil {
			t.Error(err)
		}
	})
	if err != nil || seen == 0 {
		t.Errorf("the rebuild reported %d times, error %v", seen, err)
	}
	eventually(t, func() bool { return !second.Running("monitor") })
}
