package readmodel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// generate stores events of many queues at once: each queue's creation and check-ins.
func (f fixture) generate(t testing.TB, queues, perQueue int) {
	t.Helper()
	_, err := f.pool.Exec(t.Context(), `
		INSERT INTO waiting_room_events (aggregate_id, version, event_name, payload, metadata)
		SELECT q, v, CASE WHEN v = 1 THEN 'WaitingQueueCreated' ELSE 'PatientCheckedIn' END,
		       CASE WHEN v = 1 THEN jsonb_build_object('queueId', q, 'queueName', q, 'maxCapacity', 100000)
		       ELSE jsonb_build_object('queueId', q, 'patientId', 'p' || v, 'patientName', 'Name', 'priority', 'Low',
		           'consultationType', 'X-ray', 'queuePosition', v - 1, 'checkInTime', '2026-02-19T10:00:00Z') END,
		       jsonb_build_object('schemaVersion', 1, 'occurredAt', '2026-02-19T10:00:00Z')
		FROM (SELECT 'g' || (i % $1) AS q, i / $1 + 1 AS v FROM generate_series(0, $1::bigint * $2 - 1) i) AS numbers ORDER BY v, q`,
		queues, perQueue)
	if err != nil {
		t.Fatal(err)
	}
}

func (f fixture) exec(t testing.TB, statement string) {
	t.Helper()
	if _, err := f.pool.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func (f fixture) rebuild(t testing.TB, p readmodel.Projection) {
	t.Helper()
	if _, err := f.views.Rebuild(t.Context(), p, nil); err != nil {
		t.Fatal(err)
	}
}

func (f fixture) state(t testing.TB, p readmodel.Projection) readmodel.RebuildState {
	t.Helper()
	state, err := f.views.RebuildStateOf(t.Context(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// A rebuild that is broken off three times goes on where it was, and ends with the rows
// of one that is not.
func TestARebuildThatWasBrokenOffGoesOn(t *testing.T) {
	f := newFixture(t)
	f.generate(t, 50, 4000)
	begun := int64(0)
	for n := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		first := int64(0)
		_, err := f.views.Rebuild(ctx, readmodel.Monitor, func(p readmodel.Progress) {
			if first == 0 {
				first = p.Events
			}
			if p.Events >= begun+55_000 {
				cancel()
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("break %d: %v", n, err)
		}
		if first <= begun {
			t.Errorf("round %d began at event %d, and %d were done before", n, first, begun)
		}
		state := f.state(t, readmodel.Monitor)
		if state.Status != "REPLAYING" || state.Events <= begun || state.EndedAt != nil {
			t.Fatalf("after break %d the rebuild is %+v; %d events were done before", n, state, begun)
		}
		begun = state.Events
	}
	unfinished, err := f.views.UnfinishedRebuilds(t.Context())
	if err != nil || len(unfinished) != 1 {
		t.Errorf("unfinished: %+v, error %v", unfinished, err)
	}
	events, err := f.views.Rebuild(t.Context(), readmodel.Monitor, nil)
	if err != nil || events != 200_000 {
		t.Fatalf("it ended with %d events, error %v", events, err)
	}
	resumed := f.dump(t, "")
	f.rebuild(t, readmodel.Monitor)
	if diff := cmp.Diff(f.dump(t, ""), resumed); diff != "" {
		t.Errorf("rows differ (-in one go +broken off):\n%s", diff)
	}
}

// So is what PostgreSQL gave up for the sake of others.
func TestARebuildThatLostADeadlockGoesOn(t *testing.T) {
	f := newFixture(t)
	f.generate(t, 10, 200)
	f.exec(t, `
		CREATE SEQUENCE updates;
		CREATE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF nextval('updates') = 1 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER give_up BEFORE UPDATE ON projection_rebuilds FOR EACH ROW EXECUTE FUNCTION give_up()`)
	if _, err := f.views.Rebuild(t.Context(), readmodel.Monitor, nil); !readmodel.Contended(err) {
		t.Fatalf("the deadlock: %v", err)
	}
	if state := f.state(t, readmodel.Monitor); state.EndedAt != nil {
		t.Fatalf("after the deadlock the rebuild is %+v", state)
	}
	if events, err := f.views.Rebuild(t.Context(), readmodel.Monitor, nil); err != nil || events != 2000 {
		t.Errorf("it ended with %d events, error %v", events, err)
	}
}

// What another build of the program began is begun anew.
func TestARebuildOfAnotherBuildIsNotGoneOnWith(t *testing.T) {
	f := newFixture(t)
	f.generate(t, 50, 1500)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := f.views.Rebuild(ctx, readmodel.Monitor, func(p readmodel.Progress) {
		if p.Events >= 55_000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	f.exec(t, "UPDATE projection_rebuilds SET build = 'another'")
	first := int64(0)
	_, err = f.views.Rebuild(t.Context(), readmodel.Monitor, func(p readmodel.Progress) {
		if first == 0 {
			first = p.Events
		}
	})
	if err != nil || first > 20_000 { // the first transaction
		t.Errorf("it began at event %d, error %v", first, err)
	}
}

func TestARebuildReportsWhereTheLiveRowsDiffer(t *testing.T) {
	f := newFixture(t)
	for _, q := range []string{"q1", "q2"} {
		f.apply(t, f.store(t, q, history(q, []int{9, 8, 5, 3, 7})...)...)
	}
	f.exec(t, "UPDATE waiting_queue_view SET total_patients_waiting = 77 WHERE queue_id = 'q1'")
	f.exec(t, "DELETE FROM waiting_queue_members WHERE queue_id = 'q2'")
	f.store(t, "q3", created("q3")) // which the live projection has not got yet: no difference
	f.rebuild(t, readmodel.Monitor)
	members := int64(len(f.dump(t, "WHERE queue_id = 'q2'")["waiting_queue_members"]))
	want := []readmodel.Difference{
		{Table: "waiting_queue_view", OnlyLive: 1, OnlyRebuilt: 1, Queues: []string{"q1"}},
		{Table: "waiting_queue_members", OnlyRebuilt: members, Queues: []string{"q2"}},
		{Table: "waiting_queue_waits"},
	}
	if diff := cmp.Diff(want, f.state(t, readmodel.Monitor).Differences, cmpopts.EquateEmpty()); diff != "" || members == 0 {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
	for _, p := range readmodel.Projections() {
		f.rebuild(t, p)
		state := f.state(t, p)
		if state.Status != "DONE" || state.EndedAt == nil || len(state.Differences) == 0 {
			t.Errorf("%s: %+v", p.ID, state)
		}
		for _, d := range state.Differences {
			if d.OnlyLive+d.OnlyRebuilt > 0 && !cmp.Equal(d.Queues, []string{"q3"}) {
				t.Errorf("%s: rows that are right differ: %+v", p.ID, d)
			}
		}
	}
}

func TestARollBackPutsTheReplacedTablesBack(t *testing.T) {
	f := newFixture(t)
	var missing *readmodel.NotFoundError
	if err := f.views.RollBack(t.Context(), readmodel.Monitor, nil); !errors.As(err, &missing) {
		t.Errorf("without a rebuild: %v", err)
	}
	f.apply(t, f.store(t, "q", created("q"), checkedIn("q", "p", "Low", 0))...)
	f.exec(t, "UPDATE waiting_queue_view SET queue_name = 'before'")
	f.rebuild(t, readmodel.Monitor)
	f.apply(t, f.store(t, "q", checkedIn("q", "p2", "Low", 1))...)
	f.apply(t, f.store(t, "r", created("r"), checkedIn("r", "p3", "Low", 1))...)
	for _, want := range []string{"before", "q", "before"} {
		if err := f.views.RollBack(t.Context(), readmodel.Monitor, nil); err != nil {
			t.Fatal(err)
		}
		q, err := f.views.QueueMonitor(t.Context(), "q")
		if err != nil || q.QueueName != want || q.TotalPatientsWaiting != 2 {
			t.Errorf("after the rollback the queue is %+v, error %v; want the name %q and 2 patients", q, err, want)
		}
		if r, err := f.views.QueueMonitor(t.Context(), "r"); err != nil || r.TotalPatientsWaiting != 1 {
			t.Errorf("the new queue is %+v, error %v", r, err)
		}
		if state := f.state(t, readmodel.Monitor); state.Status != "DONE" || !state.RollBack {
			t.Errorf("the state is %+v", state)
		}
	}
	f.apply(t, f.store(t, "q", checkedIn("q", "p4", "Low", 2))...)
	if q, err := f.views.QueueMonitor(t.Context(), "q"); err != nil || q.TotalPatientsWaiting != 3 {
		t.Errorf("the next event left %+v, error %v", q, err)
	}
	f.exec(t, "ALTER TABLE waiting_queue_view ADD COLUMN later INTEGER")
	var other *readmodel.PreviousError
	if err := f.views.RollBack(t.Context(), readmodel.Monitor, nil); !errors.As(err, &other) {
		t.Errorf("after a migration: %v", err)
	}
}

// A view would go on reading the replaced table.
func TestARebuildRefusesDependentViews(t *testing.T) {
	f := newFixture(t)
	f.exec(t, "CREATE VIEW board AS SELECT queue_id FROM waiting_queue_view")
	var dependent *readmodel.DependentViewError
	if _, err := f.views.Rebuild(t.Context(), readmodel.Monitor, nil); !errors.As(err, &dependent) || !cmp.Equal(dependent.Views, []string{"board"}) {
		t.Errorf("got %v", err)
	}
	f.rebuild(t, readmodel.History)
}

func TestAFailedRebuildSaysWhyAndLeavesNothing(t *testing.T) {
	f := newFixture(t)
	f.exec(t, `INSERT INTO waiting_room_events (aggregate_id, event_name, payload) VALUES ('q', 'Unheard', '{}')`)
	_, err := f.views.Rebuild(t.Context(), readmodel.Monitor, nil)
	var unknown *schema.UnknownEventError
	if !errors.As(err, &unknown) {
		t.Fatal(err)
	}
	if state := f.state(t, readmodel.Monitor); state.Status != "FAILED" || state.Error == nil || !strings.Contains(*state.Error, "Unheard") {
		t.Errorf("the state is %+v", state)
	}
	var schemas int
	if err := f.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'rebuild%'").Scan(&schemas); err != nil || schemas != 0 {
		t.Errorf("%d schemas are left, error %v", schemas, err)
	}
}

func TestOneQueueIsRebuiltAlone(t *testing.T) {
	f := newFixture(t)
	for q := range 3 {
		queueID := fmt.Sprintf("q%d", q)
		f.apply(t, f.store(t, queueID, history(queueID, []int{q, 9, 8, 5, 3, 7})...)...)
	}
	before, other := f.dump(t, "WHERE queue_id = 'q1'"), f.dump(t, "WHERE queue_id = 'q2'")
	for table := range views {
		f.exec(t, "DELETE FROM "+table+" WHERE queue_id IN ('q0', 'q1')")
	}
	events, err := f.views.RebuildQueue(t.Context(), "q1")
	if err != nil || events == 0 {
		t.Fatalf("%d events, error %v", events, err)
	}
	if diff := cmp.Diff(before, f.dump(t, "WHERE queue_id = 'q1'")); diff != "" {
		t.Errorf("the rebuilt queue differs (-before +rebuilt):\n%s", diff)
	}
	if diff := cmp.Diff(other, f.dump(t, "WHERE queue_id = 'q2'")); diff != "" {
		t.Errorf("another queue has changed:\n%s", diff)
	}
	if rows := f.dump(t, "WHERE queue_id = 'q0'")["waiting_queue_view"]; len(rows) != 0 {
		t.Errorf("another queue was rebuilt: %v", rows)
	}
	f.apply(t, f.store(t, "q1", checkedIn("q1", "next", "Low", 70))...)
	if rows := f.dump(t, "WHERE queue_id = 'q1'")["waiting_queue_members"]; len(rows) != len(before["waiting_queue_members"])+1 {
		t.Errorf("after the next event the members are %v", rows)
	}
	var missing *readmodel.NotFoundError
	if _, err := f.views.RebuildQueue(t.Context(), "nowhere"); !errors.As(err, &missing) {
		t.Errorf("an unknown queue: %v", err)
	}
}

// Live events, of this queue too, go on while a queue is rebuilt.
func TestLiveEventsGoOnDuringTheRebuildOfAQueue(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", history("q", []int{9, 9, 8, 5})...)...)
	f.archiveAll(t)
	fresh := []schema.Recorded{f.store(t, "q", checkedIn("q", "fresh", "Low", 70))[0], f.store(t, "other", created("other"))[0]}
	f.exec(t, "DELETE FROM waiting_queue_members WHERE queue_id = 'q'")
	tx, err := f.pool.Begin(t.Context()) // holds the rebuild up in its midst
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "LOCK TABLE archived_events"); err != nil {
		t.Fatal(err)
	}
	rebuilt := make(chan error, 1)
	go func() {
		_, err := f.views.RebuildQueue(t.Context(), "q")
		rebuilt <- err
	}()
	eventually(t, func() (waits bool) {
		err := f.pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'archived_events'::regclass AND NOT granted)").Scan(&waits)
		return waits && err == nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, e := range fresh {
		if _, err := f.views.Apply(ctx, []schema.Recorded{e}); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-rebuilt; err != nil {
		t.Fatal(err)
	}
	got := f.dump(t, "")
	for _, p := range readmodel.Projections() {
		f.rebuild(t, p)
	}
	if diff := cmp.Diff(f.dump(t, ""), got); diff != "" {
		t.Errorf("the views differ (-rebuilt as a whole +by queue):\n%s", diff)
	}
}

// A queue of more events than fit in a round trip.
func TestALongQueueIsRebuilt(t *testing.T) {
	f := newFixture(t)
	f.generate(t, 1, 10_000)
	if events, err := f.views.RebuildQueue(t.Context(), "g0"); err != nil || events != 10_000 {
		t.Fatalf("%d events, error %v", events, err)
	}
	if q, err := f.views.QueueMonitor(t.Context(), "g0"); err != nil || q.TotalPatientsWaiting != 9999 {
		t.Errorf("the queue is %+v, error %v", q, err)
	}
	last, err := f.views.EventsAfter(t.Context(), "g0", 9999, 1)
	if err != nil || len(last) != 1 {
		t.Fatal(last, err)
	}
	if applied, err := f.applyTo(t, readmodel.Monitor, last[0]); err != nil || applied != 0 {
		t.Errorf("its last event applied %d, error %v", applied, err)
	}
}
