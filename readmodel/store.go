package readmodel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/schema"
)

// Store applies events to views and answers queries. It is safe for concurrent
// use, also by several processes.
type Store struct{ pool *pgxpool.Pool }

// NewStore returns a store over the pool.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// GapError is returned when an event arrived before an earlier one of its queue
// that the event store does not show either. Trying again helps once it does.
type GapError struct {
	QueueID    string
	Have, Want int64
}

func (e *GapError) Error() string {
	return fmt.Sprintf("queue %q is at version %d in the view and the events up to %d are not in the store yet", e.QueueID, e.Have, e.Want)
}

// Apply brings a projection to the state after e, in one transaction with its
// checkpoint and lag. An event that the projection has seen changes nothing, and
// events that are missing before e are read from the event store: so duplicates,
// reordering and lost messages all heal.
//
// It returns how many events it applied (0 for a duplicate), *GapError, or
// pgx's errors where the database fails.
func (s *Store) Apply(ctx context.Context, p Projection, e schema.Recorded) (applied int, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		have, err := lockQueueVersion(ctx, tx, p, e.Metadata.AggregateID)
		if err != nil {
			return err
		}
		if e.Metadata.Version <= have {
			return lagOfDuplicate(ctx, tx, p, e)
		}
		events, err := missingBefore(ctx, tx, have, e)
		if err != nil {
			return err
		}
		events = append(events, e)
		applied = len(events)
		return write(ctx, tx, p, events, time.Now())
	})
	if err != nil {
		return 0, fmt.Errorf("apply %s %d of queue %q to %s: %w", e.Event.EventName(), e.Metadata.Version, e.Metadata.AggregateID, p.ID, err)
	}
	return applied, nil
}

// projectionLockClass keeps our advisory locks clear of other programs'.
const projectionLockClass = 0x524c4152 // "RLAR"

// RebuildingError is returned for an event that comes while its projection is
// being rebuilt. It is to come again: waiting here would hold a connection.
type RebuildingError struct{ ProjectionID string }

func (e *RebuildingError) Error() string {
	return fmt.Sprintf("projection %q is being rebuilt; its events wait", e.ProjectionID)
}

// lagOfDuplicate records the lag of an event that a rebuild applied before it
// was delivered.
func lagOfDuplicate(ctx context.Context, tx pgx.Tx, p Projection, e schema.Recorded) error {
	batch := &pgx.Batch{}
	queueLag(batch, p, e, time.Now(), "AND projection_processed_at IS NULL")
	return tx.SendBatch(ctx, batch).Close()
}

// lockQueueVersion returns the version up to which the projection has seen a
// queue, and keeps others off that queue until the transaction ends. It returns
// *RebuildingError while the projection is being rebuilt.
func lockQueueVersion(ctx context.Context, tx pgx.Tx, p Projection, queueID string) (version int64, err error) {
	batch := &pgx.Batch{}
	var free bool
	batch.Queue("SELECT pg_try_advisory_xact_lock_shared($1, hashtext($2))", projectionLockClass, p.ID).
		QueryRow(func(row pgx.Row) error { return row.Scan(&free) })
	batch.Queue("SELECT version FROM projection_queue_versions WHERE projection_id = $1 AND aggregate_id = $2 FOR UPDATE", p.ID, queueID).
		QueryRow(func(row pgx.Row) error {
			err := row.Scan(&version)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		})
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return 0, err
	}
	if !free {
		return 0, &RebuildingError{ProjectionID: p.ID}
	}
	return version, nil
}

// missingBefore reads the events between version have and e from the store.
func missingBefore(ctx context.Context, tx pgx.Tx, have int64, e schema.Recorded) ([]schema.Recorded, error) {
	want := e.Metadata.Version - 1
	if have == want {
		return nil, nil
	}
	rows, err := tx.Query(ctx, selectRecorded+`WHERE aggregate_id = $1 AND version > $2 AND version <= $3 ORDER BY version`,
		e.Metadata.AggregateID, have, want)
	if err != nil {
		return nil, err
	}
	events, err := pgx.CollectRows(rows, scanRecorded)
	if err != nil {
		return nil, err
	}
	if int64(len(events)) != want-have {
		return nil, &GapError{QueueID: e.Metadata.AggregateID, Have: have, Want: want}
	}
	return events, nil
}

// write queues everything that the events change into one round trip.
func write(ctx context.Context, tx pgx.Tx, p Projection, events []schema.Recorded, now time.Time) error {
	batch := &pgx.Batch{}
	for _, e := range events {
		p.apply(batch, e)
	}
	last := events[len(events)-1]
	batch.Queue(`
		INSERT INTO projection_queue_versions (projection_id, aggregate_id, version) VALUES ($1, $2, $3)
		ON CONFLICT (projection_id, aggregate_id) DO UPDATE SET version = EXCLUDED.version`,
		p.ID, last.Metadata.AggregateID, last.Metadata.Version)
	queueCheckpoint(batch, p, last, len(events))
	for _, e := range events {
		queueLag(batch, p, e, now, "")
	}
	return tx.SendBatch(ctx, batch).Close()
}

// queueLag records that the projection has processed an event. With several
// projections the row tells about the slowest so far. condition narrows the rows.
func queueLag(batch *pgx.Batch, p Projection, e schema.Recorded, now time.Time, condition string) {
	publishedAt := e.PublishedAt
	if publishedAt.IsZero() {
		publishedAt = now // read from the store: it never waited in the transport
	}
	batch.Queue(`
		UPDATE event_processing_lag
		SET event_published_at = coalesce(event_published_at, $2),
		    outbox_dispatch_duration_ms = coalesce(outbox_dispatch_duration_ms,
		        greatest(0, extract(epoch FROM $2 - event_created_at) * 1000)),
		    projection_processed_at = greatest(projection_processed_at, $3),
		    projection_processing_duration_ms = greatest(0, extract(epoch FROM
		        greatest(projection_processed_at, $3) - coalesce(event_published_at, $2)) * 1000),
		    status = CASE WHEN failed_in IS NULL OR failed_in = $4 THEN 'PROCESSED' ELSE status END,
		    failed_in = nullif(failed_in, $4)
		WHERE event_id = $1::uuid `+condition,
		e.Metadata.EventID, publishedAt.UTC(), now.UTC(), p.HandlerName())
}
