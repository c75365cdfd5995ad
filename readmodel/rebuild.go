package readmodel

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// rebuildBatch is the number of events that a rebuild applies in one round trip.
const rebuildBatch = 500

// Rebuild makes a projection's tables anew from all stored events, in one
// transaction: readers see the old rows until it commits, and nothing changes
// if it fails. Live events of the projection wait meanwhile. progress, if not
// nil, is told after each batch how many events were applied.
//
// It returns the number of events, and the errors of schema.Decode for an event
// that this build cannot read.
func (s *Store) Rebuild(ctx context.Context, p Projection, progress func(events int64)) (events int64, err error) {
	if progress == nil {
		progress = func(int64) {}
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, hashtext($2))", projectionLockClass, p.ID); err != nil {
			return err
		}
		if err := clearTables(ctx, tx, p); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "DECLARE stored CURSOR FOR "+selectRecorded+"ORDER BY position"); err != nil {
			return err
		}
		var last schema.Recorded
		for {
			batch, err := fetch(ctx, tx)
			if err != nil || len(batch) == 0 {
				return finishRebuild(ctx, tx, p, last, events, err)
			}
			if err := replay(ctx, tx, p, batch); err != nil {
				return err
			}
			last = batch[len(batch)-1]
			events += int64(len(batch))
			progress(events)
		}
	})
	if err != nil {
		return 0, fmt.Errorf("rebuild %s: %w", p.ID, err)
	}
	return events, nil
}

func clearTables(ctx context.Context, tx pgx.Tx, p Projection) error {
	batch := &pgx.Batch{}
	for _, table := range p.tables {
		batch.Queue("DELETE FROM " + pgx.Identifier{table}.Sanitize())
	}
	batch.Queue("DELETE FROM projection_queue_versions WHERE projection_id = $1", p.ID)
	return tx.SendBatch(ctx, batch).Close()
}

func fetch(ctx context.Context, tx pgx.Tx) ([]schema.Recorded, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf("FETCH %d FROM stored", rebuildBatch))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanRecorded)
}

// replay applies events and remembers the last version of each queue.
func replay(ctx context.Context, tx pgx.Tx, p Projection, events []schema.Recorded) error {
	batch := &pgx.Batch{}
	versions := map[string]int64{}
	for _, e := range events {
		p.apply(batch, e)
		versions[e.Metadata.AggregateID] = e.Metadata.Version
	}
	for queueID, version := range versions {
		batch.Queue(`
			INSERT INTO projection_queue_versions (projection_id, aggregate_id, version) VALUES ($1, $2, $3)
			ON CONFLICT (projection_id, aggregate_id) DO UPDATE SET version = EXCLUDED.version`, p.ID, queueID, version)
	}
	return tx.SendBatch(ctx, batch).Close()
}

func finishRebuild(ctx context.Context, tx pgx.Tx, p Projection, last schema.Recorded, events int64, err error) error {
	if err != nil {
		return err
	}
	var eventID, eventName *string
	if last.Event != nil {
		name := last.Event.EventName()
		eventID, eventName = &last.Metadata.EventID, &name
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO projection_checkpoints (projection_id, last_event_id, last_event_name, last_position, events_processed, rebuilt_at, updated_at)
		VALUES ($1, $2::uuid, $3, $4, $5, now(), now())
		ON CONFLICT (projection_id) DO UPDATE
		SET last_event_id = EXCLUDED.last_event_id, last_event_name = EXCLUDED.last_event_name,
		    last_position = EXCLUDED.last_position, events_processed = EXCLUDED.events_processed,
		    rebuilt_at = now(), updated_at = now()`,
		p.ID, eventID, eventName, last.Position, events)
	return err
}
