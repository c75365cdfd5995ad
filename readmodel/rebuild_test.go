package readmodel_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

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
	if err := rebuilder.Start(readmodel.Unrecorded, readmodel.Monitor); err != nil {
		t.Fatal(err)
	}
	var running *readmodel.RebuildRunningError
	if err := rebuilder.Start(readmodel.Unrecorded, readmodel.History, readmodel.Monitor); !errors.As(err, &running) || rebuilder.Running("history") {
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

// What cannot be recorded is not begun, and stands in nobody's way.
func TestTheRebuilderBeginsNothingUnrecorded(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", created("q"))...)
	f.rebuild(t, readmodel.Monitor) // there are tables to go back to
	rebuilder := readmodel.NewRebuilder(f.views, slog.New(slog.DiscardHandler))
	defer rebuilder.Close()
	away := errors.New("the database is away")
	refuse := func() error { return away }
	for what, begin := range map[string]func() error{
		"a rebuild":  func() error { return rebuilder.Start(refuse, readmodel.History, readmodel.Monitor) },
		"a rollback": func() error { return rebuilder.RollBack(t.Context(), refuse, readmodel.Monitor) },
		"a queue":    func() error { return rebuilder.StartQueue(refuse, "q") },
	} {
		for range 2 {
			if err := begin(); !errors.Is(err, away) || rebuilder.Running("monitor") || rebuilder.Running("history") {
				t.Errorf("%s: %v, running: %t", what, err, rebuilder.Running("monitor"))
			}
		}
	}
	if _, err := f.views.RebuildStateOf(t.Context(), "history"); err == nil {
		t.Error("history was rebuilt")
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

// Live events go on while a rebuild runs, and the rebuilt view has them.
func TestLiveEventsGoOnDuringARebuild(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", created("q"), checkedIn("q", "before", "Low", 0))...)
	n := 0
	_, err := f.views.Rebuild(t.Context(), readmodel.Monitor, func(readmodel.Progress) {
		if n++; n > 2 {
			return // this is the end, which keeps live events out
		}
		p := fmt.Sprintf("p%d", n)
		f.apply(t, f.store(t, "q", checkedIn("q", p, "High", n))...)
		f.apply(t, f.store(t, p, created(p), checkedIn(p, p, "High", n))...)
	})
	if err != nil {
		t.Fatal(err)
	}
	live := f.dump(t, "")
	if n < 2 || len(live["waiting_queue_members"]) < 3 {
		t.Fatalf("%d events came during the rebuild and the view has %d members", n, len(live["waiting_queue_members"]))
	}
	if _, err := f.views.Rebuild(t.Context(), readmodel.Monitor, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.dump(t, ""), live); diff != "" {
		t.Errorf("a rebuild beside live events differs from one without (-without +beside):\n%s", diff)
	}
	f.apply(t, f.store(t, "q", checkedIn("q", "after", "Low", 9))...)
	if c, err := f.views.CheckpointOf(t.Context(), "monitor"); err != nil || c.Behind != 0 {
		t.Errorf("the checkpoint is %+v, error %v", c, err)
	}
}

// Writers hammer a queue each while all projections are rebuilt again and again.
func TestRebuildsBesideWriters(t *testing.T) {
	f := newFixture(t)
	var writers sync.WaitGroup
	for w := range 3 {
		queueID := fmt.Sprintf("q%d", w)
		events := f.store(t, queueID, history(queueID, []int{9, 3, 5, 8, 1, 9, 7, 8, 2, 6, 9, 4})...)
		writers.Go(func() {
			for _, e := range events {
				for {
					_, err := f.views.Apply(t.Context(), []schema.Recorded{e})
					if err == nil {
						break
					}
					if rebuilding := (*readmodel.RebuildingError)(nil); !errors.As(err, &rebuilding) {
						t.Errorf("beside a rebuild: %v", err)
						return
					}
				}
			}
		})
	}
	for range 3 {
		for _, p := range readmodel.Projections() {
			if _, err := f.views.Rebuild(t.Context(), p, nil); err != nil {
				t.Error(err)
			}
		}
	}
	writers.Wait()
	live := f.dump(t, "")
	for _, p := range readmodel.Projections() {
		if _, err := f.views.Rebuild(t.Context(), p, nil); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(f.dump(t, ""), live); diff != "" {
		t.Errorf("views differ (-rebuilt +live):\n%s", diff)
	}
}

// While the rebuilt tables take the place of the old ones an event comes again, and
// holds no connection meanwhile.
func TestAnEventAtTheEndOfARebuildComesAgain(t *testing.T) {
	f := newFixture(t)
	event := f.store(t, "q", created("q"))[0]
	tx, err := f.pool.Begin(t.Context()) // holds up the end: it needs this table
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "LOCK TABLE waiting_queue_view IN ACCESS SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	rebuilder := readmodel.NewRebuilder(f.views, slog.New(slog.DiscardHandler))
	defer rebuilder.Close()
	if err := rebuilder.Start(readmodel.Unrecorded, readmodel.Monitor); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		_, err := f.applyTo(t, readmodel.Monitor, event)
		var rebuilding *readmodel.RebuildingError
		return errors.As(err, &rebuilding)
	})
	if _, err := f.applyTo(t, readmodel.History, event); err != nil {
		t.Errorf("another projection: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return !rebuilder.Running("monitor") })
	if applied, err := f.applyTo(t, readmodel.Monitor, event); err != nil || applied != 0 {
		t.Errorf("after the rebuild it applied %d, error %v", applied, err)
	}
}

// A transaction that has read a view and stays open holds the end of a rebuild up, and
// nobody else: others read the view meanwhile, and events are applied.
func TestAnOpenReaderHoldsUpARebuildAlone(t *testing.T) {
	f := newFixture(t)
	events := f.store(t, "q", history("q", []int{9, 9})...)
	f.apply(t, events[0])
	reader, err := f.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Rollback(t.Context()) }()
	if _, err := reader.Exec(t.Context(), "SELECT FROM waiting_queue_view"); err != nil {
		t.Fatal(err)
	}
	rebuilder := readmodel.NewRebuilder(f.views, slog.New(slog.DiscardHandler))
	defer rebuilder.Close()
	if err := rebuilder.Start(readmodel.Unrecorded, readmodel.Monitor); err != nil {
		t.Fatal(err)
	}
	waits := func() (waits bool) {
		err := f.pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted)").Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
		return waits
	}
	for range 2 { // it gives up and tries again
		eventually(t, waits)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := f.views.QueueMonitor(ctx, "q")
		if cancel(); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return !waits() })
	}
	eventually(t, func() bool {
		_, err := f.applyTo(t, readmodel.Monitor, events[1])
		return err == nil
	})
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return !rebuilder.Running("monitor") })
	if state := f.state(t, readmodel.Monitor); state.Status != "DONE" {
		t.Errorf("the rebuild ended as %+v", state)
	}
}

// The lag of an event that a rebuild applied first is known once the event comes.
func TestARebuiltEventGetsItsLag(t *testing.T) {
	f := newFixture(t)
	event := f.store(t, "q", created("q"))[0]
	for _, p := range readmodel.Projections() {
		if _, err := f.views.Rebuild(t.Context(), p, nil); err != nil {
			t.Fatal(err)
		}
	}
	f.apply(t, event)
	var status string
	if err := f.pool.QueryRow(t.Context(), "SELECT status FROM event_processing_lag WHERE total_lag_ms IS NOT NULL").Scan(&status); err != nil || status != "PROCESSED" {
		t.Errorf("its lag is %q, error %v", status, err)
	}
}

// The tables that a rebuild makes are what the migrations made, by every name.
func TestARebuildKeepsTheSchema(t *testing.T) {
	f := newFixture(t)
	catalogue := func() (all []string) {
		t.Helper()
		rows, err := f.pool.Query(t.Context(), `
			SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
			UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
			UNION ALL SELECT relname || coalesce(relacl::text, '') || coalesce(reloptions::text, '') FROM pg_class WHERE relnamespace = 'public'::regnamespace
			UNION ALL SELECT table_name || column_name || data_type || is_nullable || coalesce(column_default, '') FROM information_schema.columns WHERE table_schema = 'public'
			UNION ALL SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rebuild%' ORDER BY 1`)
		if err != nil {
			t.Fatal(err)
		}
		if all, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if _, err := f.pool.Exec(t.Context(), "GRANT SELECT ON next_turn_view, waiting_queue_view TO PUBLIC"); err != nil {
		t.Fatal(err)
	}
	before := catalogue()
	for range 2 {
		for _, p := range readmodel.Projections() {
			if _, err := f.views.Rebuild(t.Context(), p, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff(before, catalogue()); diff != "" {
		t.Errorf("the schema differs (-before +after):\n%s", diff)
	}
}
