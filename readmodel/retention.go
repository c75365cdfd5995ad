package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// RetentionRun is what was archived and deleted at one time.
type RetentionRun struct {
	ID        int64
	StartedAt time.Time
	// EndedAt is nil while it runs. A process that was killed leaves it nil, too, until
	// the next run begins, within ten minutes while an API is up: that sets it, and Error.
	EndedAt        *time.Time
	ArchivedEvents int64
	// HeldQueues are those of which old events stayed, since somebody has been waiting
	// for that long.
	HeldQueues    int64
	PrunedLagRows int64
	PrunedOutbox  int64
	PrunedPoison  int64
	Error         *string
}

// RetentionRuns returns runs, newest first, at most limit; before is the id from which on
// newer ones are left out, 0 for none.
func (s *Store) RetentionRuns(ctx context.Context, before int64, limit int) ([]RetentionRun, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT id, started_at, ended_at, archived_events, held_queues, pruned_lag_rows, pruned_outbox, pruned_poison, error
		FROM retention_runs WHERE $1::bigint = 0 OR id < $1 ORDER BY id DESC LIMIT $2`, before, limit)
	if err != nil {
		return nil, fmt.Errorf("read the retention runs: %w", err)
	}
	runs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[RetentionRun])
	if err != nil {
		return nil, fmt.Errorf("read the retention runs: %w", err)
	}
	return runs, nil
}
