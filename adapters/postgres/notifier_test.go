package postgres_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/schema"
)

// What was committed just before a stop still wakes the relay, which would else find
// it by its slow poll.
func TestTheLastWakeUpIsSentWhileStopping(t *testing.T) {
	pool := newPool(t)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), "LISTEN "+pgx.Identifier{schema.OutboxChannel}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	notifier := postgres.NewNotifier(pool, slog.New(slog.DiscardHandler))
	notifier.Notify()
	if err := notifier.Run(stopped); err != nil {
		t.Fatal(err)
	}
	waiting, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := conn.Conn().WaitForNotification(waiting); err != nil {
		t.Errorf("the relay was not woken: %v", err)
	}
}
