package outbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rlapp/rlapp/adapters/outbox"
	"github.com/rlapp/rlapp/schema"
)

const patience = 10 * time.Second

// relay runs handle for each message as the forwarder's router would, with the
// middlewares of the relay, and returns the queues of the events it was given.
func relay(t *testing.T, s *outbox.Subscriber, hopeless func(error) bool, handle func(queueID string) error) <-chan string {
	t.Helper()
	messages, err := s.Subscribe(t.Context(), "outbox")
	if err != nil {
		t.Fatal(err)
	}
	park, err := middleware.PoisonQueueWithFilter(outbox.Parking{}, "poison", hopeless)
	if err != nil {
		t.Fatal(err)
	}
	handed := make(chan string, 1000)
	handler := outbox.RecordFailure(park(func(m *message.Message) ([]*message.Message, error) {
		var envelope struct {
			DestinationTopic string            `json:"destination_topic"`
			Metadata         map[string]string `json:"metadata"`
		}
		if err := json.Unmarshal(m.Payload, &envelope); err != nil {
			return nil, err
		}
		if envelope.DestinationTopic != schema.Topic {
			t.Errorf("the envelope is addressed to %q", envelope.DestinationTopic)
		}
		queueID := envelope.Metadata[schema.HeaderAggregateID]
		handed <- queueID
		return nil, handle(queueID)
	}))
	go func() {
		for m := range messages {
			if _, err := handler(m); err != nil {
				m.Nack()
			} else {
				m.Ack()
			}
		}
	}()
	return handed
}

func never(error) bool { return false }

func succeed(string) error { return nil }

// receive collects n events.
func receive(t *testing.T, handed <-chan string, n int) []string {
	t.Helper()
	var got []string
	deadline := time.After(patience)
	for len(got) < n {
		select {
		case queueID := <-handed:
			got = append(got, queueID)
		case <-deadline:
			t.Fatalf("only %v within %v", got, patience)
		}
	}
	return got
}

type status struct {
	Queue, Status string
	Retries       int
}

func statuses(t *testing.T, pool *pgxpool.Pool) []status {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT aggregate_id, status, retry_count FROM waiting_room_outbox ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[status])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wantEventually waits until the outbox is in the wanted state.
func wantEventually(t *testing.T, pool *pgxpool.Pool, want ...status) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		got := statuses(t, pool)
		if cmp.Equal(want, got) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the outbox differs after %v (-want +got):\n%s", patience, cmp.Diff(want, got))
		}
	}
}

func TestRelayKeepsTheOrderAndMarksRows(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "a", "b", "a", "c")
	registry := prometheus.NewRegistry()
	handed := relay(t, newSubscriber(t, pool, outbox.Config{BatchSize: 3, Registerer: registry}), never, succeed)
	if diff := cmp.Diff([]string{"a", "b", "a", "c"}, receive(t, handed, 4)); diff != "" {
		t.Errorf("order differs (-want +got):\n%s", diff)
	}
	wantEventually(t, pool, status{"a", "PUBLISHED", 0}, status{"b", "PUBLISHED", 0}, status{"a", "PUBLISHED", 0}, status{"c", "PUBLISHED", 0})
	var lagging int
	err := pool.QueryRow(t.Context(), `SELECT count(*) FROM event_processing_lag
		WHERE status <> 'PUBLISHED' OR event_published_at IS NULL OR outbox_dispatch_duration_ms IS NULL`).Scan(&lagging)
	if err != nil || lagging != 0 {
		t.Errorf("%d lag rows are not PUBLISHED, error %v", lagging, err)
	}
	if got, err := testutil.GatherAndCount(registry, "outbox_pending_count", "outbox_dispatch_duration_seconds"); err != nil || got != 2 {
		t.Errorf("%d of the relay's metrics, error %v", got, err)
	}
}

// The relay's poll is an hour here: only a wake-up can bring the event.
func TestAWakeUpBringsAnEventAtOnce(t *testing.T) {
	for name, wake := range map[string]func(t *testing.T, s *outbox.Subscriber, pool *pgxpool.Pool){
		"in this process": func(_ *testing.T, s *outbox.Subscriber, _ *pgxpool.Pool) { s.Wake() },
		"from another process": func(t *testing.T, _ *outbox.Subscriber, pool *pgxpool.Pool) {
			if _, err := pool.Exec(t.Context(), "SELECT pg_notify($1, '')", schema.OutboxChannel); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t)
			store(t, pool, "first")
			s := newSubscriber(t, pool, outbox.Config{PollInterval: time.Hour})
			handed := relay(t, s, never, succeed)
			receive(t, handed, 1) // the relay leads and has drained
			wantEventually(t, pool, status{"first", "PUBLISHED", 0})
			store(t, pool, "second")
			wake(t, s, pool)
			receive(t, handed, 1)
		})
	}
}

func TestAFailingEventHoldsBackOnlyItsQueue(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "bad", "good", "bad", "good")
	handed := relay(t, newSubscriber(t, pool, outbox.Config{Schedule: outbox.Schedule{time.Hour}}), never, func(queueID string) error {
		if queueID == "bad" {
			return errors.New("no")
		}
		return nil
	})
	if diff := cmp.Diff([]string{"bad", "good", "good"}, receive(t, handed, 3)); diff != "" {
		t.Errorf("handed over (-want +got):\n%s", diff)
	}
	wantEventually(t, pool, status{"bad", "FAILED", 1}, status{"good", "PUBLISHED", 0}, status{"bad", "PENDING", 0}, status{"good", "PUBLISHED", 0})
	var lastError string
	var failedAt, nextAt time.Time
	err := pool.QueryRow(t.Context(), `SELECT last_error, last_failed_at, next_attempt_at FROM waiting_room_outbox WHERE retry_count = 1`).
		Scan(&lastError, &failedAt, &nextAt)
	if err != nil || lastError != "no" || nextAt.Sub(failedAt) != time.Hour {
		t.Errorf("error %q, next attempt after %v, %v", lastError, nextAt.Sub(failedAt), err)
	}
}

func TestAnEventIsParkedAfterItsAttempts(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "bad")
	handed := relay(t, newSubscriber(t, pool, outbox.Config{MaxAttempts: 3, Schedule: outbox.Schedule{time.Millisecond}}), never,
		func(string) error { return errors.New("no") })
	receive(t, handed, 3)
	wantEventually(t, pool, status{"bad", "PARKED", 3})
	var lag string
	if err := pool.QueryRow(t.Context(), "SELECT status FROM event_processing_lag").Scan(&lag); err != nil || lag != "FAILED" {
		t.Errorf("the parked event's lag is %q, error %v", lag, err)
	}
}

func TestAHopelessEventIsParkedAtOnce(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "bad", "bad", "good")
	handed := relay(t, newSubscriber(t, pool, outbox.Config{}), func(error) bool { return true }, func(queueID string) error {
		if queueID == "bad" {
			return errors.New("never")
		}
		return nil
	})
	receive(t, handed, 2)
	wantEventually(t, pool, status{"bad", "PARKED", 1}, status{"bad", "PENDING", 0}, status{"good", "PUBLISHED", 0})
}

func TestAnOutageUsesUpNoAttempt(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "a", "a")
	errAway := errors.New("away")
	tries := 0
	handed := relay(t, newSubscriber(t, pool, outbox.Config{
		MaxAttempts: 1, OutageDelay: time.Millisecond, IsOutage: func(err error) bool { return errors.Is(err, errAway) },
	}), never, func(string) error {
		if tries++; tries < 5 {
			return errAway
		}
		return nil
	})
	receive(t, handed, 6)
	wantEventually(t, pool, status{"a", "PUBLISHED", 0}, status{"a", "PUBLISHED", 0})
}

func TestOneRelayLeadsAndTheNextTakesOver(t *testing.T) {
	pool := newPool(t)
	first := newSubscriber(t, pool, outbox.Config{})
	firstHanded := relay(t, first, never, succeed)
	store(t, pool, "a")
	receive(t, firstHanded, 1)
	secondHanded := relay(t, newSubscriber(t, pool, outbox.Config{}), never, succeed)
	store(t, pool, "b")
	receive(t, firstHanded, 1)
	if len(secondHanded) > 0 {
		t.Error("two relays were at work at once")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	store(t, pool, "c")
	if diff := cmp.Diff([]string{"c"}, receive(t, secondHanded, 1)); diff != "" {
		t.Errorf("the second relay was handed (-want +got):\n%s", diff)
	}
}

// A transaction that took its id early and commits late must not be overtaken
// for good.
func TestALateCommitIsFound(t *testing.T) {
	pool := newPool(t)
	late, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = late.Rollback(context.Background()) }()
	_, err = late.Exec(t.Context(), `INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload) VALUES ('late', 'E', '{}')`)
	if err != nil {
		t.Fatal(err)
	}
	store(t, pool, "early")
	handed := relay(t, newSubscriber(t, pool, outbox.Config{}), never, succeed)
	receive(t, handed, 1)
	wantEventually(t, pool, status{"early", "PUBLISHED", 0})
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"late"}, receive(t, handed, 1)); diff != "" {
		t.Errorf("handed over (-want +got):\n%s", diff)
	}
	wantEventually(t, pool, status{"late", "PUBLISHED", 0}, status{"early", "PUBLISHED", 0})
}

func TestTheRelaySurvivesALostSession(t *testing.T) {
	pool := newPool(t)
	handed := relay(t, newSubscriber(t, pool, outbox.Config{OutageDelay: time.Millisecond}), never, succeed)
	store(t, pool, "a")
	receive(t, handed, 1)
	wantEventually(t, pool, status{"a", "PUBLISHED", 0})
	_, err := pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	if err != nil {
		t.Fatal(err)
	}
	store(t, pool, "b")
	if diff := cmp.Diff([]string{"b"}, receive(t, handed, 1)); diff != "" {
		t.Errorf("handed over (-want +got):\n%s", diff)
	}
}

func TestConfigMistakesAreReportedTogether(t *testing.T) {
	_, err := outbox.NewSubscriber(newPool(t), logger, outbox.Config{BatchSize: -1, MaxAttempts: -1, Schedule: outbox.Schedule{}})
	for _, want := range []string{"BatchSize", "MaxAttempts", "Schedule"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func TestSchedule(t *testing.T) {
	s := outbox.NewSchedule(30 * time.Second)
	for failures, want := range map[int]time.Duration{
		0: 30 * time.Second, 1: 30 * time.Second, 2: 2 * time.Minute, 3: 30 * time.Minute, 4: time.Hour, 9: time.Hour,
	} {
		if got := s.After(failures); got != want {
			t.Errorf("after %d failures: %v, want %v", failures, got, want)
		}
	}
}
