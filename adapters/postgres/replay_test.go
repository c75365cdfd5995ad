package postgres_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/waitingroom"
)

// storeWithSnapshot has queue-1 with a visit, a snapshot, and one event behind it.
func storeWithSnapshot(t *testing.T, pool *pgxpool.Pool) (*postgres.EventStore, *waitingroom.Queue) {
	t.Helper()
	store := postgres.NewEventStore(pool, postgres.EventStoreConfig{})
	queue := waitingroom.Replay(visit("queue-1")[:5]...)
	first := change(0, visit("queue-1")[:5], cause)
	snapshot := queue.Snapshot()
	first.Snapshot = &snapshot
	later := visit("queue-1")[5:6]
	if _, err := store.Append(t.Context(), first, change(5, later, cause)); err != nil {
		t.Fatal(err)
	}
	queue.Apply(later...)
	return store, queue
}

func load(t *testing.T, store *postgres.EventStore) *waitingroom.Queue {
	t.Helper()
	queue := waitingroom.NewQueue("queue-1")
	if err := store.Load(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	return queue
}

func TestALoadBeginsFromTheSnapshot(t *testing.T) {
	pool := newPool(t)
	store, want := storeWithSnapshot(t, pool)
	// The events that the snapshot covers are not read, so they need not be there.
	if _, err := pool.Exec(t.Context(), "DELETE FROM waiting_room_events WHERE version <= 5"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Snapshot(), load(t, store).Snapshot()); diff != "" {
		t.Errorf("the loaded queue differs (-want +got):\n%s", diff)
	}
}

func TestASnapshotThatCannotBeReadIsDoneWithout(t *testing.T) {
	for name, statement := range map[string]string{
		"gone":          "DELETE FROM waiting_room_snapshots",
		"another build": `UPDATE waiting_room_snapshots SET schema_version = 99, state = '{"patients": "in another form"}'`,
		"damaged":       `UPDATE waiting_room_snapshots SET state = '{"visits": "in another form"}'`,
		"emptied":       `UPDATE waiting_room_snapshots SET state = 'null'`,
	} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t)
			store, want := storeWithSnapshot(t, pool)
			if _, err := pool.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Snapshot(), load(t, store).Snapshot(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the loaded queue differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnOldSnapshotDoesNotReplaceANewerOne(t *testing.T) {
	pool := newPool(t)
	store, _ := storeWithSnapshot(t, pool)
	old := waitingroom.Snapshot{QueueID: "queue-1", Version: 3}
	late := change(6, visit("queue-1")[6:7], cause)
	late.Snapshot = &old
	if _, err := store.Append(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	var version int64
	if err := pool.QueryRow(t.Context(), "SELECT version FROM waiting_room_snapshots").Scan(&version); err != nil || version != 5 {
		t.Errorf("the snapshot is of version %d, error %v", version, err)
	}
}

func TestALoadedQueueGetsTheLaterEventsOnly(t *testing.T) {
	pool := newPool(t)
	store, _ := storeWithSnapshot(t, pool)
	queue, other := load(t, store), waitingroom.NewQueue("queue-2")
	if _, err := store.Append(t.Context(), change(6, visit("queue-1")[6:], cause)); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "DELETE FROM waiting_room_events WHERE version <= 6"); err != nil {
		t.Fatal(err)
	}
	if err := store.Load(t.Context(), queue, other); err != nil {
		t.Fatal(err)
	}
	whole := waitingroom.Replay(visit("queue-1")...)
	if queue.Version() != whole.Version() || queue.Active() != whole.Active() || other.Version() != 0 {
		t.Errorf("got version %d with %d patients and version %d, want %d with %d and 0",
			queue.Version(), queue.Active(), other.Version(), whole.Version(), whole.Active())
	}
}

// Changes of many queues, and several of one, are stored together or not at all.
func TestChangesAreStoredTogether(t *testing.T) {
	pool := newPool(t)
	commits := 0
	store := postgres.NewEventStore(pool, postgres.EventStoreConfig{AfterCommit: func() { commits++ }})
	var changes []waitingroom.Change
	for n := range 50 {
		queueID := fmt.Sprintf("queue-%d", n%10)
		c := change(int64(n/10), []waitingroom.Event{waitingroom.PatientCheckedIn{QueueID: queueID, PatientID: fmt.Sprint(n), CheckInTime: tenOClock}}, cause)
		c.QueueID = queueID
		changes = append(changes, c)
	}
	answers, err := store.Append(t.Context(), changes...)
	if err != nil {
		t.Fatal(err)
	}
	var transactions int
	if err := pool.QueryRow(t.Context(), `SELECT count(DISTINCT xmin::text) FROM (
		SELECT xmin FROM waiting_room_events UNION ALL SELECT xmin FROM waiting_room_outbox UNION ALL SELECT xmin FROM event_processing_lag) rows`).Scan(&transactions); err != nil {
		t.Fatal(err)
	}
	if transactions != 1 || commits != 1 {
		t.Errorf("%d transactions, %d wake-ups", transactions, commits)
	}
	for i, a := range answers {
		var version, position int64
		err := pool.QueryRow(t.Context(), `SELECT version, position FROM waiting_room_events WHERE payload->>'patientId' = $1`, fmt.Sprint(i)).Scan(&version, &position)
		if err != nil || a.Version != version || a.Position != position {
			t.Errorf("change %d was answered %+v and stored at version %d, position %d, error %v", i, a, version, position, err)
		}
	}
	changes[49].Expected = 0 // taken
	for i := range 49 {
		changes[i].Expected += 5
	}
	if _, err := store.Append(t.Context(), changes...); err == nil {
		t.Fatal("a lost race was not noticed")
	}
	wantCounts(t, pool, 50, 50, 50)
}
