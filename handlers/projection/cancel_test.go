package projection_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/handlers/catchup"
	"github.com/rlapp/rlapp/handlers/projection"
)

// heldUp does something that waits for a view, and ends its context then. The view is
// free afterwards.
func (f *fixture) heldUp(t *testing.T, do func(context.Context)) {
	t.Helper()
	tx, err := f.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), "LOCK TABLE next_turn_view"); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); do(ctx) }()
	defer func() { end(); <-done }()
	waitUntil(t, func() bool {
		var waits bool
		err := f.pool.QueryRow(t.Context(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits)
		return err == nil && waits
	})
}

// wantNoFailure checks that no event is told to have failed.
func (f *fixture) wantNoFailure(t *testing.T) {
	t.Helper()
	if n := testutil.CollectAndCount(f.failures); n != 0 {
		t.Errorf("%d failures are counted", n)
	}
	if got := f.poisoned(t); len(got) != 0 {
		t.Errorf("poisoned: %v", got)
	}
}

// byHand is a transport that hands out what the test gives it.
type byHand chan *message.Message

func (h byHand) Subscribe(context.Context, string) (<-chan *message.Message, error) { return h, nil }

func (h byHand) Close() error { close(h); return nil }

// An event in the midst of which the process is stopped has not failed, whatever is made
// of it: it is not counted, nor poisoned, and comes again.
func TestACancelledEventHasNotFailed(t *testing.T) {
	f := newFixture(t)
	transport := make(byHand)
	plugin, err := projection.Plugin(f.views, transport, postgres.NewPoisonStore(f.pool), slog.New(slog.NewJSONHandler(f.logs, nil)),
		projection.Config{MaxRetries: 2, RetryInterval: time.Millisecond, Failures: f.failures})
	if err != nil {
		t.Fatal(err)
	}
	runRouter(t, plugin)

	checkedIn := f.store(t, "queue-1")[1]
	f.heldUp(t, func(ctx context.Context) {
		msg := checkedIn.Copy()
		msg.SetContext(ctx)
		transport <- msg
		select {
		case <-msg.Nacked():
		case <-msg.Acked():
			t.Error("the event does not come again")
		}
	})
	f.wantNoFailure(t)
	if !strings.Contains(f.logs.String(), `"poisoned":false`) {
		t.Error("the log does not say that the event comes again")
	}
	again := checkedIn.Copy()
	transport <- again
	<-again.Acked()
	if f.waiting(t, "queue-1") != 1 {
		t.Error("the event is not applied the next time")
	}
}

// Nor has one that is read from the store for want of its message.
func TestACancelledCatchingUpHasNotFailed(t *testing.T) {
	f := newFixture(t)
	f.store(t, "lost")
	c := f.catchUp(t)
	c.look(0)
	c.At(c.now.Add(catchup.SettledAfter))
	f.heldUp(t, func(ctx context.Context) {
		if _, err := c.Once(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	f.wantNoFailure(t)
	c.look(catchup.SettledAfter)
	if f.waiting(t, "lost") != 1 {
		t.Error("the event is not read the next time")
	}
}
