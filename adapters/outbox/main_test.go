package outbox_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/outbox"
	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/waitingroom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Wrap(m)) }

var logger = slog.New(slog.DiscardHandler)

func newPool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	connString := postgrestest.Migrated(t)
	pool, err := postgres.Open(context.Background(), connString, postgres.PoolConfig{MaxConnections: 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func newSubscriber(t testing.TB, pool *pgxpool.Pool, config outbox.Config) *outbox.Subscriber {
	t.Helper()
	if config.PollInterval == 0 {
		config.PollInterval = 10 * time.Millisecond
	}
	subscriber, err := outbox.NewSubscriber(pool, logger, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := subscriber.Close(); err != nil {
			t.Error(err)
		}
	})
	return subscriber
}

// store writes one event for each queue id, in that order.
func store(t testing.TB, pool *pgxpool.Pool, queueIDs ...string) {
	t.Helper()
	events := postgres.NewEventStore(pool, postgres.EventStoreConfig{})
	for _, id := range queueIDs {
		queue := waitingroom.NewQueue(id)
		if err := events.Load(t.Context(), queue); err != nil {
			t.Fatal(err)
		}
		event := waitingroom.ConsultingRoomActivated{QueueID: id, ConsultingRoomID: "room"}
		cause := waitingroom.Cause{OccurredAt: time.Now(), CorrelationID: "c"}
		if _, err := events.Append(t.Context(), waitingroom.Change{QueueID: id, Expected: queue.Version(), Events: []waitingroom.Event{event}, Cause: cause}); err != nil {
			t.Fatal(err)
		}
	}
}
