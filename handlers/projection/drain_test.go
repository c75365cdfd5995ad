package projection_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/adapters/rabbitmq"
	"github.com/rlapp/rlapp/adapters/rabbitmq/rabbitmqtest"
	"github.com/rlapp/rlapp/handlers/projection"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// BenchmarkDrain lets all projections take events over 100 queues that wait in
// RabbitMQ.
func BenchmarkDrain(b *testing.B) {
	const events = 50_000
	for b.Loop() {
		b.StopTimer()
		pool, err := postgres.Open(b.Context(), postgrestest.Migrated(b), postgres.PoolConfig{MaxConnections: 10})
		if err != nil {
			b.Fatal(err)
		}
		messages := checkIns(b, pool, events)
		config := rabbitmq.Config{URL: rabbitmqtest.VirtualHost(b).String(), ConsumerGroup: projection.HandlerName, MaxInFlight: projection.MaxInFlight}
		config.Groups = []rabbitmq.Group{{Name: projection.HandlerName}}
		publisher, err := rabbitmq.NewPublisher(slog.New(slog.DiscardHandler), config)
		if err != nil {
			b.Fatal(err)
		}
		for len(messages) > 0 {
			n := min(1000, len(messages))
			if err := publisher.Publish(schema.Topic, messages[:n]...); err != nil {
				b.Fatal(err)
			}
			messages = messages[n:]
		}
		registry := prometheus.NewRegistry()
		b.StartTimer()
		stop := drain(b, pool, config, registry)
		waitFor(b, pool, events)
		b.StopTimer()
		stop()
		report(b, registry)
		_ = publisher.Close()
		pool.Close()
		b.StartTimer()
	}
	b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkLag publishes 2,000 events a second to the running projections and reports
// the time from there to the read models.
func BenchmarkLag(b *testing.B) {
	const (
		events = 20_000
		chunk  = 10
		every  = 5 * time.Millisecond
	)
	pool, err := postgres.Open(b.Context(), postgrestest.Migrated(b), postgres.PoolConfig{MaxConnections: 10})
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	messages := checkIns(b, pool, events)
	config := rabbitmq.Config{URL: rabbitmqtest.VirtualHost(b).String(), ConsumerGroup: projection.HandlerName, MaxInFlight: projection.MaxInFlight}
	config.Groups = []rabbitmq.Group{{Name: projection.HandlerName}}
	publisher, err := rabbitmq.NewPublisher(slog.New(slog.DiscardHandler), config)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = publisher.Close() }()
	registry := prometheus.NewRegistry()
	stop := drain(b, pool, config, registry)
	defer stop()
	// The creations of the queues come first: the consumer has started when they are there.
	if err := publisher.Publish(schema.Topic, messages[:100]...); err != nil {
		b.Fatal(err)
	}
	waitFor(b, pool, 100)
	messages = messages[100:]
	tick := time.NewTicker(every)
	defer tick.Stop()
	for b.Loop() { // once: -benchtime 1x
		for i := 0; i < len(messages); i += chunk {
			now := (<-tick.C).UTC().Format(time.RFC3339Nano)
			for _, m := range messages[i : i+chunk] {
				m.Metadata.Set(schema.HeaderPublishedAt, now)
			}
			if err := publisher.Publish(schema.Topic, messages[i:i+chunk]...); err != nil {
				b.Fatal(err)
			}
		}
		waitFor(b, pool, events)
	}
	report(b, registry)
	for _, share := range []float64{0.5, 0.99} {
		var ms float64
		err := pool.QueryRow(b.Context(), "SELECT percentile_cont($1) WITHIN GROUP (ORDER BY projection_processing_duration_ms) FROM event_processing_lag WHERE event_name = 'PatientCheckedIn'", share).Scan(&ms)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(ms, fmt.Sprintf("p%.0f-ms", share*100))
	}
}

// checkIns stores the creations of 100 queues and check-ins, and returns their
// messages.
func checkIns(b *testing.B, pool *pgxpool.Pool, events int) []*message.Message {
	b.Helper()
	for _, statement := range []string{
		`INSERT INTO waiting_room_events (aggregate_id, version, event_name, payload, metadata)
		SELECT 'queue-' || n % 100, 1 + n / 100, CASE WHEN n < 100 THEN 'WaitingQueueCreated' ELSE 'PatientCheckedIn' END,
			jsonb_build_object('queueId', 'queue-' || n % 100, 'queueName', 'q', 'maxCapacity', 1000000, 'patientId', 'patient-' || n,
				'patientName', 'A Name', 'priority', 'High', 'consultationType', 'Cardiology', 'queuePosition', 1, 'checkInTime', now()),
			jsonb_build_object('schemaVersion', 1, 'correlationId', 'c', 'occurredAt', now())
		FROM generate_series(0, ` + fmt.Sprint(events-1) + `) AS n ORDER BY n`,
		`INSERT INTO event_processing_lag (event_id, event_name, aggregate_id, event_created_at, status)
		SELECT event_id, event_name, aggregate_id, created_at, 'PUBLISHED' FROM waiting_room_events ORDER BY position`,
	} {
		if _, err := pool.Exec(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	rows, err := pool.Query(b.Context(), `SELECT event_id::text, aggregate_id, version, event_name, payload FROM waiting_room_events ORDER BY position`)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	var messages []*message.Message
	for rows.Next() {
		var (
			id, name string
			payload  []byte
			metadata = schema.Metadata{OccurredAt: time.Now(), CorrelationID: "c", SchemaVersion: 1}
		)
		if err := rows.Scan(&id, &metadata.AggregateID, &metadata.Version, &name, &payload); err != nil {
			b.Fatal(err)
		}
		msg := message.NewMessage(id, payload)
		msg.Metadata = schema.Headers(name, metadata)
		msg.Metadata.Set(schema.HeaderPublishedAt, time.Now().UTC().Format(time.RFC3339Nano))
		messages = append(messages, msg)
	}
	return messages
}

func drain(b *testing.B, pool *pgxpool.Pool, config rabbitmq.Config, registry *prometheus.Registry) (stop func()) {
	b.Helper()
	subscriber, err := rabbitmq.NewSubscriber(slog.New(slog.DiscardHandler), config)
	if err != nil {
		b.Fatal(err)
	}
	plugin, err := projection.Plugin(readmodel.NewStore(pool), subscriber, postgres.NewPoisonStore(pool), slog.New(slog.DiscardHandler),
		projection.Config{Registerer: registry})
	if err != nil {
		b.Fatal(err)
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		b.Fatal(err)
	}
	router.AddPlugin(plugin)
	done := make(chan error)
	go func() { done <- router.Run(context.WithoutCancel(b.Context())) }()
	return func() {
		if err := errors.Join(router.Close(), <-done, subscriber.Close()); err != nil {
			b.Error(err)
		}
	}
}

func waitFor(b *testing.B, pool *pgxpool.Pool, events int) {
	b.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for count := 0; count < events; {
		select {
		case <-tick.C:
		case <-deadline:
			b.Fatalf("%d of %d events within 2 min", count, events)
		}
		err := pool.QueryRow(b.Context(), "SELECT coalesce(min(events_processed), 0) FROM projection_checkpoints").Scan(&count)
		if err != nil {
			b.Fatal(err)
		}
	}
}

// report says how the events were batched, and how many came after a later one.
func report(b *testing.B, registry *prometheus.Registry) {
	b.Helper()
	families, err := registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		switch f.GetName() {
		case "projection_batch_events":
			h := f.GetMetric()[0].GetHistogram()
			b.ReportMetric(h.GetSampleSum()/float64(h.GetSampleCount()), "events/batch")
		case "projection_gap_events_total":
			b.ReportMetric(f.GetMetric()[0].GetCounter().GetValue(), "gaps")
		}
	}
}
