package postgres

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/schema"
)

// Notifier wakes relays in other processes after a commit. NOTIFY inside the
// write transaction would take a lock that all committers of the cluster share,
// so it is sent on its own, and many commits share one: the first at once, those of
// the next two milliseconds together.
type Notifier struct {
	pool    *pgxpool.Pool
	logger  *slog.Logger
	pending chan struct{}
}

// NewNotifier returns a notifier; Run sends what Notify asks for.
func NewNotifier(pool *pgxpool.Pool, logger *slog.Logger) *Notifier {
	return &Notifier{pool: pool, logger: logger, pending: make(chan struct{}, 1)}
}

// Notify asks for a wake-up. It never blocks and is safe for concurrent use.
func (n *Notifier) Notify() {
	select {
	case n.pending <- struct{}{}:
	default:
	}
}

// notifyEvery is the least time between two wake-ups.
const notifyEvery = 2 * time.Millisecond

// Run sends wake-ups until ctx ends, and then the one that is asked for already.
// One that fails is dropped: the relay's slow poll finds the rows.
func (n *Notifier) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-n.pending:
			n.wake(ctx)
		}
		timer := time.NewTimer(notifyEvery)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	select {
	case <-n.pending:
		n.wake(ctx)
	default:
	}
	return nil
}

// wakeTimeout bounds one wake-up, which is also sent while stopping.
const wakeTimeout = time.Second

func (n *Notifier) wake(ctx context.Context) {
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeTimeout)
	defer cancel()
	if err := n.send(sending); err != nil {
		n.logger.WarnContext(ctx, "waking the relay failed; its poll will find the events", "error", err)
	}
}

// send is one round trip and no flush: a wake-up that a crash loses wakes nobody
// who is still there.
func (n *Notifier) send(ctx context.Context) error {
	_, err := n.pool.Exec(ctx, "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, '')", schema.OutboxChannel)
	return err
}
