package readmodel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// swapWait is how long the swap waits for a lock: whoever reads the views waits
	// behind it. It is tried so often, with a pause.
	swapWait, swapTries, swapPause = "250ms", 30, time.Second
	// lockTimedOut is the SQLSTATE of a lock that was not free in time.
	lockTimedOut = "55P03"
)

// takeOver lets the tables take their place. An open transaction that has read the old
// ones is waited for, but lets nobody else wait.
func (r *rebuild) takeOver(ctx context.Context, differences []Difference) error {
	for tries := swapTries; ; tries-- {
		err := r.tryTakeOver(ctx, differences)
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != lockTimedOut {
			return err
		}
		if tries == 1 {
			return fmt.Errorf("a transaction that has read its tables stays open; it goes on when that has ended: %w", err)
		}
		timer := time.NewTimer(swapPause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// tryTakeOver keeps live events of the projection out, swaps the tables and applies what
// has come meanwhile: in this order, since only the swap may fail for want of a lock.
func (r *rebuild) tryTakeOver(ctx context.Context, differences []Difference) error {
	return pgx.BeginFunc(ctx, r.session, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '"+swapWait+"'"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, hashtext($2))", projectionLockClass, r.projection.ID); err != nil {
			return err
		}
		if err := r.aside.swap(ctx, tx, r.projection); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = DEFAULT"); err != nil {
			return err
		}
		if _, err := r.applyMissed(ctx); err != nil {
			return err
		}
		return r.end(ctx, tx, differences)
	})
}

// end writes how far the rebuilt tables have come. It locks the rows of all queues in
// the order that live events lock theirs in.
func (r *rebuild) end(ctx context.Context, tx pgx.Tx, differences []Difference) error {
	batch := &pgx.Batch{}
	batch.Queue("SELECT count(*) FROM (SELECT FROM projection_queue_versions ORDER BY aggregate_id FOR UPDATE) AS locked")
	batch.Queue("UPDATE projection_queue_versions SET versions = versions - $1 WHERE versions ? $1", r.projection.ID)
	all := make(versions, len(r.reached))
	for queueID, version := range r.reached {
		all[queueID] = map[string]int64{r.projection.ID: version}
	}
	all.queue(batch)
	batch.Queue(`
		INSERT INTO projection_checkpoints AS c (projection_id, last_event_id, last_event_name, last_position, events_processed, rebuilt_at, updated_at)
		SELECT $1, e.event_id, e.event_name, last.position, $3, now(), now()
		FROM (SELECT greatest($2, (SELECT last_position FROM projection_checkpoints WHERE projection_id = $1)) AS position) AS last
		LEFT JOIN waiting_room_events e ON e.position = last.position
		ON CONFLICT (projection_id) DO UPDATE
		SET last_event_id = EXCLUDED.last_event_id, last_event_name = EXCLUDED.last_event_name,
		    last_position = EXCLUDED.last_position, events_processed = EXCLUDED.events_processed,
		    rebuilt_at = now(), updated_at = now()`, r.projection.ID, r.last, r.done.Events)
	batch.Queue(`
		UPDATE projection_rebuilds
		SET status = 'DONE', applied_position = $2, events = $3, differences = $4, ended_at = now(), updated_at = now()
		WHERE projection_id = $1`, r.projection.ID, r.last, r.done.Events, differences)
	return tx.SendBatch(ctx, batch).Close()
}
