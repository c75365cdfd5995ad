package command_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/waitingroom"
)

func newPool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(context.Background(), postgrestest.Migrated(t), postgres.PoolConfig{MaxConnections: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Two processes that write to the same few queues lose no check-in, double none,
// and keep each queue's versions without a gap.
func TestTwoProcessesShareTheQueues(t *testing.T) {
	pool := newPool(t)
	config := command.Config{MaxCapacity: 10_000, Lanes: 2, SnapshotEvery: 20, CacheSize: 60}
	var buses []*command.Bus
	for range 2 {
		store := postgres.NewEventStore(pool, postgres.EventStoreConfig{})
		buses = append(buses, runBus(t, command.NewHandlers(store, config), prometheus.NewRegistry()))
	}
	const clients, each, queues, patients = 8, 60, 5, 200
	var accepted, refused atomic.Int64
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() {
			for range each {
				e := johnDoe()
				e.Command.QueueID = fmt.Sprintf("queue-%d", rand.IntN(queues))
				e.Command.PatientID = fmt.Sprintf("patient-%d", rand.IntN(patients))
				_, err := command.Send(t.Context(), buses[client%2], e)
				switch {
				case err == nil:
					accepted.Add(1)
				case codeOf(err) == waitingroom.CodeAlreadyCheckedIn:
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	var checkIns, distinct, gaps int64
	err := pool.QueryRow(t.Context(), `
		SELECT count(*) FILTER (WHERE event_name = 'PatientCheckedIn'),
		       count(DISTINCT (aggregate_id, payload->>'patientId')) FILTER (WHERE event_name = 'PatientCheckedIn'),
		       (SELECT count(*) FROM (SELECT count(*) <> max(version) AS gap FROM waiting_room_events GROUP BY aggregate_id) q WHERE gap)
		FROM waiting_room_events`).Scan(&checkIns, &distinct, &gaps)
	if err != nil {
		t.Fatal(err)
	}
	want := [3]int64{accepted.Load(), accepted.Load(), 0}
	if diff := cmp.Diff(want, [3]int64{checkIns, distinct, gaps}); diff != "" || accepted.Load()+refused.Load() != clients*each {
		t.Errorf("check-ins, patients and queues with gaps differ (-want +got), %d refused:\n%s", refused.Load(), diff)
	}
}

// A process that starts cold goes on from the snapshots of the last one.
func TestARestartGoesOnFromSnapshots(t *testing.T) {
	pool := newPool(t)
	start := func() *command.Bus {
		store := postgres.NewEventStore(pool, postgres.EventStoreConfig{})
		return runBus(t, command.NewHandlers(store, command.Config{MaxCapacity: 100, SnapshotEvery: 10}), prometheus.NewRegistry())
	}
	bus := start()
	for n := range 25 {
		if _, err := command.Send(t.Context(), bus, numbered(n)); err != nil {
			t.Fatal(err)
		}
	}
	// What the snapshot covers is not read again: it may be archived.
	if _, err := pool.Exec(t.Context(), `
		DELETE FROM waiting_room_events e USING waiting_room_snapshots s
		WHERE e.aggregate_id = s.aggregate_id AND e.version <= s.version`); err != nil {
		t.Fatal(err)
	}
	bus = start()
	appended, err := command.Send(t.Context(), bus, numbered(25))
	if err != nil || appended.Version != 27 {
		t.Errorf("got %+v, error %v; want version 27", appended, err)
	}
	if _, err := command.Send(t.Context(), bus, numbered(0)); codeOf(err) != waitingroom.CodeAlreadyCheckedIn {
		t.Errorf("a patient whom only the snapshot knows: %v", err)
	}
}

func numbered(n int) command.Envelope[waitingroom.CheckIn] {
	e := johnDoe()
	e.Command.PatientID = fmt.Sprintf("patient-%d", n)
	return e
}

// BenchmarkCheckIn is the write path without HTTP: 64 senders over 1,000 queues
// or one, into PostgreSQL.
func BenchmarkCheckIn(b *testing.B) {
	for _, lanes := range []int{1, 2, 4, 8} {
		for _, queues := range []int{1, 1000} {
			b.Run(fmt.Sprintf("lanes=%d/queues=%d", lanes, queues), func(b *testing.B) { benchmarkCheckIn(b, lanes, queues) })
		}
	}
}

func benchmarkCheckIn(b *testing.B, lanes, queues int) {
	store := postgres.NewEventStore(newPool(b), postgres.EventStoreConfig{})
	bus := runBus(b, command.NewHandlers(store, command.Config{MaxCapacity: 1 << 30, Lanes: lanes}), prometheus.NewRegistry())
	var next atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := int(next.Add(1))
			e := numbered(n)
			e.Command.QueueID = fmt.Sprintf("queue-%d", n%queues)
			if _, err := command.Send(b.Context(), bus, e); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "check-ins/s")
}

// BenchmarkCache tells what one more patient in a cached queue costs: B/op.
func BenchmarkCache(b *testing.B) {
	queue := waitingroom.NewQueue("queue-1")
	b.ReportAllocs()
	for n := range b.N {
		queue.Apply(waitingroom.PatientCheckedIn{PatientID: fmt.Sprintf("0199ff00-aaaa-bbbb-cccc-%012d", n)})
	}
}
