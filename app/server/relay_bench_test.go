package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/app/server"
	"github.com/rlapp/rlapp/app/server/config"
	"github.com/rlapp/rlapp/schema"
)

// BenchmarkRelay drains outbox rows into a quorum queue, all of them confirmed and
// marked, and sends the same events straight over amqp091 with pipelined confirms
// right before. It reports both rates and their ratio, and for a large backlog the
// rates of its first and last tenth:
//
//	go test -run '^$' -bench BenchmarkRelay -benchtime 3x ./app/server
func BenchmarkRelay(b *testing.B) {
	for _, events := range []int{20_000, 50_000, 1_000_000} {
		b.Run(strconv.Itoa(events), func(b *testing.B) {
			var raw, relayed, first, last float64
			for b.Loop() {
				r := measureRelay(b, events)
				raw += r.raw
				relayed += r.relayed
				first += r.first
				last += r.last
			}
			n := float64(b.N)
			b.ReportMetric(raw/n, "raw-events/s")
			b.ReportMetric(relayed/n, "events/s")
			b.ReportMetric(relayed/raw*100, "%-of-raw")
			b.ReportMetric(first/n, "first-tenth/s")
			b.ReportMetric(last/n, "last-tenth/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

type relayRates struct{ raw, relayed, first, last float64 }

func measureRelay(b *testing.B, events int) relayRates {
	b.Helper()
	c := load(b, broker(b)...)
	if err := migrated(b, c); err != nil {
		b.Fatal(err)
	}
	// A first start makes the exchange and the queue.
	startAt(b, slog.LevelWarn, server.RoleWorker, c).stop()
	samples := sampleEvents(events)
	rates := relayRates{raw: sendRaw(b, c.RabbitMq.URL(), samples[:min(events, 50_000)])}

	pool, err := pgxpool.New(b.Context(), c.EventStore.ConnectionString)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	writeOutbox(b, pool, samples)
	worker := startAt(b, slog.LevelWarn, server.RoleWorker, c)
	defer worker.stop()
	drained(b, pool)
	end := time.Now()
	var begin, tenth, ninth time.Time
	err = pool.QueryRow(b.Context(), `
		SELECT min(published_at), max(published_at) FILTER (WHERE id <= $1), min(published_at) FILTER (WHERE id > $2)
		FROM waiting_room_outbox`, events/10, events-events/10).Scan(&begin, &tenth, &ninth)
	if err != nil {
		b.Fatal(err)
	}
	rates.relayed = float64(events) / end.Sub(begin).Seconds()
	rates.first = float64(events/10) / tenth.Sub(begin).Seconds()
	rates.last = float64(events/10) / end.Sub(ninth).Seconds()
	return rates
}

func migrated(b *testing.B, c config.Config) error {
	b.Helper()
	pool, err := pgxpool.New(b.Context(), c.EventStore.ConnectionString)
	if err != nil {
		return err
	}
	defer pool.Close()
	return postgres.Migrate(b.Context(), pool)
}

// drained waits until every row is published.
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

type sample struct {
	id       uuid.UUID
	queue    string
	payload  string
	headers  map[string]string
	metadata string
}

// sampleEvents are check-ins in 1,000 queues, some 300 bytes each, with nine headers.
func sampleEvents(n int) []sample {
	samples := make([]sample, n)
	for i := range samples {
		queue := "queue-" + strconv.Itoa(i%1000)
		headers := schema.Headers("PatientCheckedIn", schema.Metadata{
			AggregateID: queue, Version: int64(i/1000 + 1), OccurredAt: time.Now(), CorrelationID: uuid.NewString(),
			CausationID: uuid.NewString(), SchemaVersion: 1,
		})
		metadata, _ := json.Marshal(headers)
		samples[i] = sample{
			id: uuid.New(), queue: queue, headers: headers, metadata: string(metadata),
			payload: fmt.Sprintf(`{"queueId": %q, "patientId": "patient-%09d", "patientName": "Perpetua Testname", "priority": "High", `+
				`"consultationType": "Cardiology", "age": 42, "isPregnant": false, "notes": "%080d", "checkInTime": "2026-02-19T10:00:00Z", "queuePosition": %d}`,
				queue, i, i, i),
		}
	}
	return samples
}

func writeOutbox(b *testing.B, pool *pgxpool.Pool, samples []sample) {
	b.Helper()
	tables := map[string][]string{
		"waiting_room_outbox":  {"event_id", "aggregate_id", "event_name", "payload", "metadata"},
		"event_processing_lag": {"event_id", "event_name", "aggregate_id", "event_created_at", "status"},
	}
	for table, columns := range tables {
		_, err := pool.CopyFrom(b.Context(), pgx.Identifier{table}, columns, pgx.CopyFromSlice(len(samples), func(i int) ([]any, error) {
			s := &samples[i]
			if table == "event_processing_lag" {
				return []any{s.id, "PatientCheckedIn", s.queue, time.Now(), "CREATED"}, nil
			}
			return []any{s.id, s.queue, "PatientCheckedIn", s.payload, s.metadata}, nil
		}))
		if err != nil {
			b.Fatal(err)
		}
	}
}

// sendRaw sends the events to the exchange with a window of 1,000 confirms, and
// returns the rate of the confirmed.
func sendRaw(b *testing.B, address string, samples []sample) float64 {
	b.Helper()
	conn, err := amqp.Dial(address)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err != nil {
		b.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		b.Fatal(err)
	}
	const window = 1000
	var waiting []*amqp.DeferredConfirmation
	begin := time.Now()
	for i := range samples {
		s := &samples[i]
		table := amqp.Table{"_watermill_message_uuid": s.id.String(), schema.HeaderPublishedAt: s.headers[schema.HeaderOccurredAt]}
		for name, value := range s.headers {
			table[name] = value
		}
		confirm, err := ch.PublishWithDeferredConfirm(schema.Topic, "PatientCheckedIn."+s.headers[schema.HeaderLane], true, false, amqp.Publishing{
			Headers: table, Body: []byte(s.payload), DeliveryMode: amqp.Persistent, MessageId: s.id.String(), ContentType: "application/json",
		})
		if err != nil {
			b.Fatal(err)
		}
		if waiting = append(waiting, confirm); len(waiting) == window {
			wait(b, waiting[0])
			waiting = waiting[1:]
		}
	}
	for _, confirm := range waiting {
		wait(b, confirm)
	}
	return float64(len(samples)) / time.Since(begin).Seconds()
}

func wait(b *testing.B, confirm *amqp.DeferredConfirmation) {
	b.Helper()
	if acked, err := confirm.WaitContext(context.WithoutCancel(b.Context())); err != nil || !acked {
		b.Fatalf("confirmed %t, error %v", acked, err)
	}
}
