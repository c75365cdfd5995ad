package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// PendingEvent is a row of the outbox that has not been published.
type PendingEvent struct {
	ID            int64
	EventID       string
	QueueID       string
	EventName     string
	Status        string
	RetryCount    int
	LastError     *string
	LastFailedAt  *time.Time
	NextAttemptAt *time.Time
	CreatedAt     time.Time
}

// PendingOutbox returns the oldest unpublished events, at most limit, and how
// many there are in all.
func (s *Store) PendingOutbox(ctx context.Context, limit int) (events []PendingEvent, total int64, err error) {
	rows, err := s.pool.Query(ctx, `
		SELECT id, event_id::text, aggregate_id, event_name, status, retry_count, last_error, last_failed_at, next_attempt_at, created_at
		FROM waiting_room_outbox WHERE NOT published ORDER BY id LIMIT $1`, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("read the outbox: %w", err)
	}
	if events, err = pgx.CollectRows(rows, pgx.RowToStructByPos[PendingEvent]); err != nil {
		return nil, 0, fmt.Errorf("read the outbox: %w", err)
	}
	if len(events) < limit {
		return events, int64(len(events)), nil
	}
	if err = s.pool.QueryRow(ctx, `SELECT count(*) FROM waiting_room_outbox WHERE NOT published`).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count the outbox: %w", err)
	}
	return events, total, nil
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.pool.Ping(ctx) }
