package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/schema"
	"github.com/rlapp/rlapp/waitingroom"
)

var cause = waitingroom.Cause{
	OccurredAt: tenOClock, CorrelationID: "correlation-1", CausationID: "message-1", Actor: "reception", IdempotencyKey: "key-1",
}

// change is one of queue-1.
func change(expected int64, events []waitingroom.Event, cause waitingroom.Cause) waitingroom.Change {
	return waitingroom.Change{QueueID: "queue-1", Expected: expected, Events: events, Cause: cause}
}

// visit has one event of each kind.
func visit(queueID string) []waitingroom.Event {
	return []waitingroom.Event{
		waitingroom.WaitingQueueCreated{QueueID: queueID, QueueName: queueID, MaxCapacity: 7},
		waitingroom.PatientCheckedIn{QueueID: queueID, PatientID: "p", PatientName: "John Doe", Priority: "High", ConsultationType: "Cardiology", QueuePosition: 1, CheckInTime: tenOClock},
		waitingroom.PatientCalledAtCashier{QueueID: queueID, PatientID: "p"},
		waitingroom.PatientAbsentAtCashier{QueueID: queueID, PatientID: "p", RetryNumber: 1},
		waitingroom.PatientPaymentPending{QueueID: queueID, PatientID: "p", AttemptNumber: 1},
		waitingroom.PatientPaymentValidated{QueueID: queueID, PatientID: "p"},
		waitingroom.ConsultingRoomActivated{QueueID: queueID, ConsultingRoomID: "r"},
		waitingroom.PatientClaimedForAttention{QueueID: queueID, PatientID: "p", StationID: "r"},
		waitingroom.PatientAbsentAtConsultation{QueueID: queueID, PatientID: "p", RetryNumber: 1},
		waitingroom.PatientCalled{QueueID: queueID, PatientID: "p", StationID: "r"},
		waitingroom.PatientAttentionCompleted{QueueID: queueID, PatientID: "p"},
		waitingroom.ConsultingRoomDeactivated{QueueID: queueID, ConsultingRoomID: "r"},
		waitingroom.PatientCancelledByPayment{QueueID: queueID, PatientID: "p2"},
		waitingroom.PatientCancelledByAbsence{QueueID: queueID, PatientID: "p3", TotalAbsences: 3},
	}
}

func TestAppendedEventsComeBack(t *testing.T) {
	store := postgres.NewEventStore(newPool(t), postgres.EventStoreConfig{})
	events := visit("queue-1")
	if len(events) != len(schema.EventNames()) {
		t.Fatalf("the test has %d events, the catalogue %d", len(events), len(schema.EventNames()))
	}
	appended, err := store.Append(t.Context(), change(0, events[:2], cause))
	if err != nil {
		t.Fatal(err)
	}
	rest, err := store.Append(t.Context(), change(appended[0].Version, events[2:], cause))
	if err != nil {
		t.Fatal(err)
	}
	if appended[0].EventCount != 2 || appended[0].Version != 2 || rest[0].Version != int64(len(events)) || rest[0].Position <= appended[0].Position {
		t.Errorf("got %+v and %+v", appended, rest)
	}
	got, none := waitingroom.NewQueue("queue-1"), waitingroom.NewQueue("queue-2")
	if err := store.Load(t.Context(), got, none); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(waitingroom.Replay(events...).Snapshot(), got.Snapshot()); diff != "" {
		t.Errorf("the loaded queue differs (-want +got):\n%s", diff)
	}
	if none.Version() != 0 {
		t.Errorf("a queue without events has version %d", none.Version())
	}
}

func TestEventOutboxAndLagAreWrittenTogether(t *testing.T) {
	pool := newPool(t)
	woken := 0
	store := postgres.NewEventStore(pool, postgres.EventStoreConfig{AfterCommit: func() { woken++ }})
	if _, err := store.Append(t.Context(), change(0, visit("queue-1")[:2], cause)); err != nil {
		t.Fatal(err)
	}
	type written struct {
		EventName, OutboxName, LagName, Status, LagStatus string
		SamePayload, Published                            bool
		Correlation                                       string
		CreatedAt                                         time.Time
	}
	rows, err := pool.Query(t.Context(), `
		SELECT e.event_name, o.event_name, l.event_name, o.status, l.status, e.payload = o.payload, o.published,
		       o.metadata->>'correlation_id', l.event_created_at
		FROM waiting_room_events e JOIN waiting_room_outbox o USING (event_id) JOIN event_processing_lag l USING (event_id)
		ORDER BY e.position`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[written])
	if err != nil {
		t.Fatal(err)
	}
	row := func(name string) written {
		return written{name, name, name, "PENDING", "CREATED", true, false, "correlation-1", tenOClock}
	}
	if diff := cmp.Diff([]written{row("WaitingQueueCreated"), row("PatientCheckedIn")}, got); diff != "" {
		t.Errorf("rows differ (-want +got):\n%s", diff)
	}
	if woken != 1 {
		t.Errorf("one commit woke the relay %d times", woken)
	}
}

func TestALostRaceIsAConflictAndWritesNothing(t *testing.T) {
	pool := newPool(t)
	store := postgres.NewEventStore(pool, postgres.EventStoreConfig{})
	events := visit("queue-1")[:2]
	if _, err := store.Append(t.Context(), change(0, events, cause)); err != nil {
		t.Fatal(err)
	}
	_, err := store.Append(t.Context(), change(1, events, cause))
	var refusal *waitingroom.Error
	if !errors.As(err, &refusal) || refusal.Code != waitingroom.CodeConflict {
		t.Fatalf("got %v, want a conflict", err)
	}
	wantCounts(t, pool, 2, 2, 2)
}

func TestAFailedOutboxWriteLeavesNoEvent(t *testing.T) {
	pool := newPool(t)
	if _, err := pool.Exec(t.Context(), "ALTER TABLE waiting_room_outbox ADD CHECK (aggregate_id <> 'queue-1')"); err != nil {
		t.Fatal(err)
	}
	store := postgres.NewEventStore(pool, postgres.EventStoreConfig{AfterCommit: func() { t.Error("the relay was woken without a commit") }})
	_, err := store.Append(t.Context(), change(0, visit("queue-1"), cause))
	var rolledBack *waitingroom.RolledBackError
	if !errors.As(err, &rolledBack) {
		t.Fatalf("got %v, want that nothing was written", err)
	}
	wantCounts(t, pool, 0, 0, 0)
}

func wantCounts(t *testing.T, pool *pgxpool.Pool, events, outbox, lag int) {
	t.Helper()
	var got [3]int
	err := pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM waiting_room_events),
		(SELECT count(*) FROM waiting_room_outbox), (SELECT count(*) FROM event_processing_lag)`).Scan(&got[0], &got[1], &got[2])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([3]int{events, outbox, lag}, got); diff != "" {
		t.Errorf("events, outbox and lag rows differ (-want +got):\n%s", diff)
	}
}

// Writers of one queue that race get every version exactly once.
func TestConcurrentAppendsGiveEachVersionOnce(t *testing.T) {
	pool := newPool(t)
	store := postgres.NewEventStore(pool, postgres.EventStoreConfig{})
	const writers, each = 8, 10
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := range each {
				appendOne(t, store, fmt.Sprintf("p-%d-%d", w, n))
			}
		})
	}
	group.Wait()
	var count, highest int64
	err := pool.QueryRow(t.Context(), `SELECT count(*), max(version) FROM waiting_room_events`).Scan(&count, &highest)
	if err != nil {
		t.Fatal(err)
	}
	if count != writers*each || highest != count {
		t.Errorf("%d events up to version %d, want %d", count, highest, writers*each)
	}
}

func appendOne(t *testing.T, store *postgres.EventStore, patientID string) {
	for {
		queue := waitingroom.NewQueue("queue-1")
		if err := store.Load(t.Context(), queue); err != nil {
			t.Error(err)
			return
		}
		event := waitingroom.PatientCheckedIn{QueueID: "queue-1", PatientID: patientID, CheckInTime: tenOClock}
		_, err := store.Append(t.Context(), change(queue.Version(), []waitingroom.Event{event}, cause))
		var refusal *waitingroom.Error
		if errors.As(err, &refusal) {
			continue
		}
		if err != nil {
			t.Error(err)
		}
		return
	}
}

func TestAnEventOfANewerBuildIsAClearError(t *testing.T) {
	pool := newPool(t)
	_, err := pool.Exec(t.Context(), `INSERT INTO waiting_room_events (aggregate_id, event_name, payload, metadata)
		VALUES ('queue-1', 'PatientCheckedIn', '{"queueId":"queue-1"}', '{"schemaVersion": 99}')`)
	if err != nil {
		t.Fatal(err)
	}
	err = postgres.NewEventStore(pool, postgres.EventStoreConfig{}).Load(t.Context(), waitingroom.NewQueue("queue-1"))
	var unknown *schema.UnknownVersionError
	if !errors.As(err, &unknown) || unknown.Version != 99 {
		t.Errorf("got %v, want an unknown version", err)
	}
}
