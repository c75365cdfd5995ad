package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// The advisory locks of the relays, in a class that keeps them clear of other
// programs' in the same database. Lock n is that of lane n; every relay shares
// memberLock, so that each can count all.
const (
	relayLockClass = 0x524c4150 // "RLAP"
	memberLock     = 1000
)

// lanes are those that this relay holds, each by an advisory lock of its session.
// Several relays share them evenly: a lane is relayed by one at a time, which
// keeps the order of its queues.
type lanes struct {
	session *pgx.Conn
	logger  *slog.Logger

	// change is held while rows of the lanes are in hand: they change in between.
	change sync.Mutex
	want   atomic.Bool // a change waits for the rows in hand
	mine   []int16
}

// hold keeps the lanes as they are until release, and returns them.
func (l *lanes) hold() []int16 {
	l.change.Lock()
	return l.mine
}

func (l *lanes) release() { l.change.Unlock() }

// wanted reports whether the lanes wait to be changed.
func (l *lanes) wanted() bool { return l.want.Load() }

// lanesChanged is what relays tell each other, on the channel of the wake-ups, when one
// has joined or left, or has lanes to take.
const lanesChanged = "lanes"

// join makes this relay one of those that share the lanes.
func (l *lanes) join(ctx context.Context) error {
	_, err := l.session.Exec(ctx, "SELECT pg_advisory_lock_shared($1, $2), pg_notify($3, $4)",
		relayLockClass, memberLock, schema.OutboxChannel, lanesChanged)
	if err != nil {
		return fmt.Errorf("join the relays: %w", err)
	}
	return nil
}

// leave frees the lanes and tells the other relays, which take them at once. A session
// that is lost does neither: the server frees its lanes, and the others look.
func (l *lanes) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = l.session.Exec(ctx, "SELECT pg_advisory_unlock_all(), pg_notify($1, $2)", schema.OutboxChannel, lanesChanged)
	_ = l.session.Close(ctx)
}

// set changes the lanes once no row is in hand, for which a backlog is interrupted.
func (l *lanes) set(mine []int16) {
	l.want.Store(true)
	l.change.Lock()
	defer l.change.Unlock()
	l.want.Store(false)
	l.mine = mine
}

// share gives up lanes beyond this relay's part, or takes free ones up to it, and
// reports whether it took any.
func (l *lanes) share(ctx context.Context) (took bool, err error) {
	relays, err := l.relays(ctx)
	if err != nil {
		return false, err
	}
	part := (schema.Lanes + relays - 1) / relays
	switch {
	case len(l.mine) > part:
		err = l.giveUp(ctx, part)
	case len(l.mine) < part:
		took, err = l.take(ctx, part-len(l.mine))
	}
	if err != nil {
		return false, fmt.Errorf("share the lanes: %w", err)
	}
	return took, nil
}

// relays counts the relays of this database, this one included.
func (l *lanes) relays(ctx context.Context) (n int, err error) {
	err = l.session.QueryRow(ctx, `
		SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.classid = $1 AND l.objid = $2 AND l.granted`,
		relayLockClass, memberLock).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the relays: %w", err)
	}
	return max(n, 1), nil
}

// giveUp unlocks a lane only when none of its rows is in hand: it is relayed by one
// at a time.
func (l *lanes) giveUp(ctx context.Context, part int) error {
	surplus := l.mine[part:]
	l.set(slices.Clone(l.mine[:part]))
	_, err := l.session.Exec(ctx, "SELECT pg_notify($3, $4) FROM (SELECT count(pg_advisory_unlock($1, lane)) FROM unnest($2::int[]) AS lane) AS freed",
		relayLockClass, surplus, schema.OutboxChannel, lanesChanged)
	if err != nil {
		return err
	}
	l.logger.InfoContext(ctx, "gave lanes up to another relay", "Component", "OutboxWorker", "lanes", part)
	return nil
}

func (l *lanes) take(ctx context.Context, n int) (took bool, err error) {
	var others []int16
	for lane := range int16(schema.Lanes) {
		if !slices.Contains(l.mine, lane) {
			others = append(others, lane)
		}
	}
	// The locks are tried one after another, until n rows have come.
	rows, err := l.session.Query(ctx, "SELECT lane::int2 FROM unnest($2::int[]) AS lane WHERE pg_try_advisory_lock($1, lane) LIMIT $3",
		relayLockClass, others, n)
	if err != nil {
		return false, err
	}
	taken, err := pgx.CollectRows(rows, pgx.RowTo[int16])
	if err != nil || len(taken) == 0 {
		return false, err
	}
	l.set(append(slices.Clone(l.mine), taken...))
	l.logger.InfoContext(ctx, "relaying the outbox", "Component", "OutboxWorker", "lanes", len(l.mine))
	return true, nil
}
