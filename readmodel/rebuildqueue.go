package readmodel

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/schema"
)

// RebuildQueue makes the rows of one queue anew in all projections, from its stored
// events and in one transaction: readers see the old rows until it commits, and only
// this queue's events wait. It returns the number of events, *NotFoundError for a
// queue without events, and *RebuildingError while a rebuild of a whole projection ends.
func (s *Store) RebuildQueue(ctx context.Context, queueID string) (events int64, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return 0, fmt.Errorf("rebuild queue %q: %w", queueID, err)
	}
	defer conn.Release()
	events, err = rebuildQueue(ctx, conn, queueID)
	if err != nil {
		rollBack(ctx, conn)
		return 0, fmt.Errorf("rebuild queue %q: %w", queueID, err)
	}
	return events, nil
}

func rebuildQueue(ctx context.Context, conn *pgxpool.Conn, queueID string) (events int64, err error) {
	if _, err := lockVersions(ctx, conn, []string{queueID}, Projections()); err != nil {
		return 0, err
	}
	batch := &pgx.Batch{}
	for _, p := range Projections() {
		for _, table := range p.tables {
			batch.Queue("DELETE FROM "+quote(table)+" WHERE queue_id = $1", queueID)
		}
	}
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return 0, err
	}
	for {
		page, err := eventsAfter(ctx, conn, queueID, events, rebuildBatch)
		if err != nil {
			return 0, err
		}
		if events += int64(len(page)); events == 0 {
			return 0, &NotFoundError{Kind: KindQueue, ID: queueID}
		}
		batch := &pgx.Batch{}
		applyToAll(batch, page)
		last := len(page) < rebuildBatch
		if last {
			batch.Queue("COMMIT")
		}
		if err := conn.SendBatch(ctx, batch).Close(); err != nil || last {
			return events, err
		}
	}
}

func applyToAll(batch *pgx.Batch, events []schema.Recorded) {
	if len(events) == 0 {
		return
	}
	var applied []Applied
	for _, p := range Projections() {
		p.apply(batch, events)
		applied = append(applied, Applied{Projection: p, Events: events})
	}
	queueVersions(batch, applied)
}
