package outbox_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/outbox"
)

// BenchmarkDrain relays a backlog to a transport that takes everything at once: what
// PostgreSQL and the relay themselves cost. It reports the rates of the first, the
// middle and the last tenth beside that of all.
func BenchmarkDrain(b *testing.B) {
	for _, events := range []int{20_000, 1_000_000} {
		b.Run(strconv.Itoa(events), func(b *testing.B) {
			var total, first, middle, last float64
			for b.Loop() {
				pool := newPool(b)
				backlog(b, pool, events)
				forward(b, newSubscriber(b, pool, outbox.Config{PollInterval: time.Second}), never, nowhere{})
				drained(b, pool)
				total += rate(b, pool, 1, events)
				first += rate(b, pool, 1, events/10)
				middle += rate(b, pool, events/10*5, events/10*6)
				last += rate(b, pool, events/10*9, events)
			}
			for unit, sum := range map[string]float64{"events/s": total, "first/s": first, "middle/s": middle, "last/s": last} {
				b.ReportMetric(sum/float64(b.N), unit)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// nowhere is a transport that takes everything.
type nowhere struct{}

func (nowhere) Publish(string, ...*message.Message) error { return nil }
func (nowhere) Close() error                              { return nil }

func drained(b *testing.B, pool *pgxpool.Pool) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for pending := true; pending; <-tick.C {
		if err := pool.QueryRow(b.Context(), "SELECT EXISTS (SELECT FROM waiting_room_outbox WHERE NOT published)").Scan(&pending); err != nil {
			b.Fatal(err)
		}
	}
}

// rate is that of the rows between two ids, by the moments of their publication.
func rate(b *testing.B, pool *pgxpool.Pool, from, to int) (perSecond float64) {
	b.Helper()
	err := pool.QueryRow(b.Context(), `SELECT count(*) / extract(epoch FROM max(published_at) - min(published_at))::float8
		FROM waiting_room_outbox WHERE id BETWEEN $1 AND $2`, from, to).Scan(&perSecond)
	if err != nil {
		b.Fatal(err)
	}
	return perSecond
}

// backlog writes events of 1,000 queues as the event store does, but in one go.
func backlog(b *testing.B, pool *pgxpool.Pool, events int) {
	b.Helper()
	for _, statement := range []string{
		`
		INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload, metadata)
		SELECT 'queue-' || n % 1000, 'PatientCheckedIn',
			jsonb_build_object('queueId', 'queue-' || n % 1000, 'patientId', 'patient-' || n, 'patientName', 'A Name', 'priority', 'High',
				'consultationType', 'Cardiology', 'notes', repeat('x', 100), 'queuePosition', n, 'checkInTime', now()),
			jsonb_build_object('event_name', 'PatientCheckedIn', 'aggregate_id', 'queue-' || n % 1000, 'version', (n / 1000)::text,
				'occurred_at', now()::text, 'correlation_id', gen_random_uuid(), 'causation_id', gen_random_uuid(),
				'schema_version', '1', 'lane', (n % 16)::text)
		FROM generate_series(1, $1::int) n`, `
		INSERT INTO event_processing_lag (event_id, event_name, aggregate_id, event_created_at, status)
		SELECT event_id, event_name, aggregate_id, created_at, 'CREATED' FROM waiting_room_outbox WHERE id <= $1::int ORDER BY id`,
	} {
		if _, err := pool.Exec(b.Context(), statement, events); err != nil {
			b.Fatal(err)
		}
	}
}
