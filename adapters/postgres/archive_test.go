package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/waitingroom"
)

const ninetyDays = 90 * 24 * time.Hour

// visits are some visits on a queue, of patients named by their numbers; those that are
// open do not end.
func visits(queueID string, n int, open ...int) []waitingroom.Event {
	events := []waitingroom.Event{waitingroom.WaitingQueueCreated{QueueID: queueID, QueueName: queueID, MaxCapacity: 1000}}
	for i := range n {
		patient := fmt.Sprintf("p%d", i)
		events = append(events, waitingroom.PatientCheckedIn{
			QueueID: queueID, PatientID: patient, PatientName: "John Doe", Priority: "High", ConsultationType: "Cardiology", QueuePosition: 1, CheckInTime: tenOClock,
		})
		if !slices.Contains(open, i) {
			events = append(events, waitingroom.PatientAttentionCompleted{QueueID: queueID, PatientID: patient})
		}
	}
	return events
}

// past is a queue's events, of which the last ones are young.
type past struct {
	queueID string
	events  []waitingroom.Event
	young   int
}

// storePast stores the old events of all, 91 days ago, and then the young ones.
func storePast(t *testing.T, pool *pgxpool.Pool, store *postgres.EventStore, pasts ...past) {
	t.Helper()
	write := func(p past, from, to int) {
		t.Helper()
		if from == to {
			return
		}
		if _, err := store.Append(t.Context(), waitingroom.Change{QueueID: p.queueID, Expected: int64(from), Events: p.events[from:to], Cause: cause}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range pasts {
		write(p, 0, len(p.events)-p.young)
	}
	if _, err := pool.Exec(t.Context(), `UPDATE waiting_room_events SET created_at = now() - interval '91 days'`); err != nil {
		t.Fatal(err)
	}
	for _, p := range pasts {
		write(p, len(p.events)-p.young, len(p.events))
	}
}

// stays returns the lowest version that each queue has in the store.
func stays(t *testing.T, pool *pgxpool.Pool) map[string]int64 {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT aggregate_id, min(version) FROM waiting_room_events GROUP BY 1")
	if err != nil {
		t.Fatal(err)
	}
	var (
		queueID string
		version int64
		lowest  = map[string]int64{}
	)
	if _, err := pgx.ForEachRow(rows, []any{&queueID, &version}, func() error { lowest[queueID] = version; return nil }); err != nil {
		t.Fatal(err)
	}
	return lowest
}

func TestOldEventsOfFinishedVisitsAreArchived(t *testing.T) {
	pool := newPool(t)
	store := postgres.NewEventStore(pool, postgres.EventStoreConfig{})
	storePast(t, pool, store,
		past{"old", visits("old", 3), 0},      // 7 events; the newest stays
		past{"half", visits("half", 3), 2},    // the last visit is young
		past{"open", visits("open", 3, 1), 0}, // the second visit has not ended
		past{"young", visits("young", 3), 7},  // nothing is old
		past{"long", visits("long", 1200), 0}, // more than fit in a row
		past{"late", visits("late", 3, 2), 1}, // who is there is young
	)
	var want []*waitingroom.Queue
	for queueID := range stays(t, pool) {
		q := waitingroom.NewQueue(queueID)
		if err := store.Load(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		want = append(want, q)
	}
	done, err := store.Archive(t.Context(), ninetyDays)
	if err != nil || done.Held != 1 || done.Events != 6+5+3+2400+5 {
		t.Errorf("archived %+v, error %v", done, err)
	}
	if diff := cmp.Diff(map[string]int64{"old": 7, "half": 6, "open": 4, "young": 1, "long": 2401, "late": 6}, stays(t, pool)); diff != "" {
		t.Errorf("lowest versions that stay (-want +got):\n%s", diff)
	}
	for _, q := range want {
		got := waitingroom.NewQueue(q.ID())
		if err := store.Load(t.Context(), got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(q.Snapshot(), got.Snapshot()); diff != "" {
			t.Errorf("queue %s differs (-before +archived):\n%s", q.ID(), diff)
		}
	}
	if again, err := store.Archive(t.Context(), ninetyDays); err != nil || again.Events != 0 {
		t.Errorf("a second run archived %+v, error %v", again, err)
	}
}

func TestRetentionArchivesAndPrunes(t *testing.T) {
	pool := newPool(t)
	store := postgres.NewEventStore(pool, postgres.EventStoreConfig{})
	storePast(t, pool, store, past{"old", visits("old", 3), 0})
	for _, statement := range []string{
		"UPDATE event_processing_lag SET created_at = now() - interval '31 days' WHERE event_name = 'PatientCheckedIn'",
		`INSERT INTO poison_messages (message_id, handler, topic, reason, payload, metadata, status, settled_at) VALUES
			('a', 'h', 't', 'r', '', '{}', 'REPLAYED', now() - interval '91 days'), ('b', 'h', 't', 'r', '', '{}', 'REPLAYED', now()),
			('c', 'h', 't', 'r', '', '{}', 'WAITING', NULL)`,
		"INSERT INTO handled_events (handler, event_id, handled_at) VALUES ('h', gen_random_uuid(), now() - interval '8 days'), ('h', gen_random_uuid(), now())",
	} {
		if _, err := pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	pruned := make(chan struct{}, 10)
	retention := postgres.NewRetention(pool, slog.New(slog.DiscardHandler), postgres.RetentionConfig{
		ArchiveAfter: ninetyDays, LagKept: 30 * 24 * time.Hour, PoisonKept: ninetyDays,
		PruneOutbox: func(context.Context) (int64, error) { pruned <- struct{}{}; return 9, nil },
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error)
	go func() { ended <- retention.Run(ctx) }()
	counts := func() (runs, events, archive, lag, poison, handled int) {
		t.Helper()
		err := pool.QueryRow(t.Context(), `
			SELECT (SELECT count(*) FROM retention_runs WHERE ended_at IS NOT NULL AND error IS NULL), (SELECT count(*) FROM waiting_room_events),
			       (SELECT count(*) FROM archived_events), (SELECT count(*) FROM event_processing_lag), (SELECT count(*) FROM poison_messages),
			       (SELECT count(*) FROM handled_events)`).Scan(&runs, &events, &archive, &lag, &poison, &handled)
		if err != nil {
			t.Fatal(err)
		}
		return runs, events, archive, lag, poison, handled
	}
	eventually(t, func() bool { runs, _, _, _, _, _ := counts(); return runs == 1 })
	if _, events, archive, lag, poison, handled := counts(); events != 1 || archive != 1 || lag != 4 || poison != 2 || handled != 1 {
		t.Errorf("left: %d events, %d rows in the archive, %d lag rows, %d poisoned messages, %d marks", events, archive, lag, poison, handled)
	}
	var row [4]int64
	err := pool.QueryRow(t.Context(), "SELECT archived_events, pruned_lag_rows, pruned_outbox, pruned_poison FROM retention_runs").
		Scan(&row[0], &row[1], &row[2], &row[3])
	if err != nil || row != [4]int64{6, 3, 9, 1} {
		t.Errorf("the record is %v, error %v", row, err)
	}
	retention.Start() // an operator does not wait for the next day
	eventually(t, func() bool { runs, _, _, _, _, _ := counts(); return runs == 2 })
	stop()
	if err := <-ended; err != nil || len(pruned) != 2 {
		t.Errorf("it ended with %v after %d runs", err, len(pruned))
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, is func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(10*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not within 30 s")
		}
	}
}
