package readmodel_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

func benchmarkPool(b *testing.B) *pgxpool.Pool {
	b.Helper()
	pool, err := postgres.Open(b.Context(), postgrestest.Migrated(b), postgres.PoolConfig{MaxConnections: 10})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return pool
}

// generate stores events of whole visits over 100 queues, by SQL: the creation of
// the queues, then for patient after patient a check-in and five steps to the end;
// every tenth patient stays in the line.
func generate(b *testing.B, pool *pgxpool.Pool, events int) {
	b.Helper()
	_, err := pool.Exec(b.Context(), `
		INSERT INTO waiting_room_events (aggregate_id, version, event_name, payload, metadata)
		SELECT 'queue-' || q, CASE WHEN n < 0 THEN 1 ELSE 2 + (n / 600) * 6 + step END,
			CASE WHEN n < 0 THEN 'WaitingQueueCreated' ELSE
				CASE WHEN patient / 100 % 10 = 0 AND step > 0 THEN 'ConsultingRoomActivated'
				ELSE (ARRAY['PatientCheckedIn', 'PatientCalledAtCashier', 'PatientPaymentValidated', 'PatientClaimedForAttention',
					'PatientCalled', 'PatientAttentionCompleted'])[step + 1] END END,
			jsonb_build_object('queueId', 'queue-' || q, 'queueName', 'queue-' || q, 'maxCapacity', 1000000,
				'patientId', 'patient-' || patient, 'patientName', 'A Name', 'priority', (ARRAY['Low', 'Medium', 'High', 'Urgent'])[1 + patient % 4],
				'consultationType', 'Cardiology', 'queuePosition', 1, 'checkInTime', '2026-02-19T10:00:00Z', 'consultingRoomId', 'r', 'stationId', 's'),
			jsonb_build_object('eventId', gen_random_uuid(), 'aggregateId', 'queue-' || q, 'version', 1, 'occurredAt', '2026-02-19T10:00:00.123456Z',
				'correlationId', 'c', 'actor', 'a', 'schemaVersion', 1)
		FROM (
			SELECT n, CASE WHEN n < 0 THEN n + 100 ELSE n % 100 END AS q, n / 100 % 6 AS step, n / 600 * 100 + n % 100 AS patient
			FROM generate_series(-100, $1::int - 101) AS n
		) AS event ORDER BY n`, events)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := pool.Exec(b.Context(), "ANALYZE waiting_room_events"); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRebuild rebuilds each projection from a million events.
func BenchmarkRebuild(b *testing.B) {
	const events = 1_000_000
	pool := benchmarkPool(b)
	generate(b, pool, events)
	views := readmodel.NewStore(pool)
	for _, p := range readmodel.Projections() {
		b.Run(p.ID, func(b *testing.B) {
			for b.Loop() {
				if n, err := views.Rebuild(b.Context(), p, nil); err != nil || n != events {
					b.Fatalf("rebuilt %d events, error %v", n, err)
				}
			}
			b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkApply applies batches of events over 100 queues to all projections.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, 50, 500} {
		b.Run(fmt.Sprintf("%devents", size), func(b *testing.B) {
			pool := benchmarkPool(b)
			generate(b, pool, 400_000)
			addLag(b, pool)
			views := readmodel.NewStore(pool)
			events := stored(b, pool)
			at := 0
			b.ReportAllocs()
			for b.Loop() {
				if at+size > len(events) {
					b.Fatal("more events are needed")
				}
				if _, err := views.Apply(b.Context(), events[at:at+size]); err != nil {
					b.Fatal(err)
				}
				at += size
			}
			b.ReportMetric(float64(at)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// addLag gives each event the row that its append would have made.
func addLag(b *testing.B, pool *pgxpool.Pool) {
	b.Helper()
	_, err := pool.Exec(b.Context(), `
		INSERT INTO event_processing_lag (event_id, event_name, aggregate_id, event_created_at, status)
		SELECT event_id, event_name, aggregate_id, created_at, 'PUBLISHED' FROM waiting_room_events ORDER BY position`)
	if err != nil {
		b.Fatal(err)
	}
}

// stored returns all events as messages would bring them.
func stored(b *testing.B, pool *pgxpool.Pool) []schema.Recorded {
	b.Helper()
	rows, err := pool.Query(b.Context(), `SELECT event_id::text, aggregate_id, version, event_name, payload, created_at FROM waiting_room_events ORDER BY position`)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	var all []schema.Recorded
	for rows.Next() {
		var (
			r       schema.Recorded
			name    string
			payload []byte
		)
		m := &r.Metadata
		if err := rows.Scan(&m.EventID, &m.AggregateID, &m.Version, &name, &payload, &m.OccurredAt); err != nil {
			b.Fatal(err)
		}
		if r.Event, err = schema.Decode(name, 1, payload); err != nil {
			b.Fatal(err)
		}
		r.PublishedAt = m.OccurredAt
		all = append(all, r)
	}
	return all
}
