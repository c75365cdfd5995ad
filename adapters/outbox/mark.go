package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxErrorLength bounds what last_error keeps, in bytes.
const maxErrorLength = 2000

// markPublished writes the outcome of the delivered rows, and their lag, by
// explicit ids: rows that committed late may lie between them.
func (s *Subscriber) markPublished(ctx context.Context, delivered []*row) error {
	if len(delivered) == 0 {
		return nil
	}
	ids, events, stamps := make([]int64, len(delivered)), make([]string, len(delivered)), make([]time.Time, len(delivered))
	for i, r := range delivered {
		ids[i], events[i], stamps[i] = r.ID, r.EventID, r.publishedAt
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(`
			UPDATE waiting_room_outbox o
			SET published = true, published_at = d.published_at, next_attempt_at = NULL
			FROM unnest($1::bigint[], $2::timestamptz[]) AS d (id, published_at)
			WHERE o.id = d.id`, ids, stamps)
		batch.Queue(`
			UPDATE event_processing_lag l
			SET event_published_at = coalesce(l.event_published_at, d.published_at),
			    outbox_dispatch_duration_ms = coalesce(l.outbox_dispatch_duration_ms,
			        greatest(0, extract(epoch FROM d.published_at - l.event_created_at) * 1000)),
			    status = CASE WHEN l.status IN ('CREATED') OR l.failed_in = $3 THEN 'PUBLISHED' ELSE l.status END,
			    failed_in = nullif(l.failed_in, $3)
			FROM unnest($1::uuid[], $2::timestamptz[]) AS d (event_id, published_at)
			WHERE l.event_id = d.event_id`, events, stamps, HandlerName)
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return fmt.Errorf("mark %d outbox rows published: %w", len(delivered), err)
	}
	return nil
}

// markFailed counts a failure and sets the next attempt by the schedule, or
// parks the row: at once when nothing can help, else when the attempts are used up.
func (s *Subscriber) markFailed(ctx context.Context, r *row, reason string, hopeless bool) (parked bool, err error) {
	failures := r.RetryCount + 1
	parked = hopeless || failures >= s.config.MaxAttempts
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(`
			UPDATE waiting_room_outbox
			SET retry_count = $2, last_failed_at = now(), last_error = $3,
			    parked_at = CASE WHEN $4 THEN now() END,
			    next_attempt_at = CASE WHEN NOT $4 THEN now() + make_interval(secs => $5) END
			WHERE id = $1`, r.ID, failures, truncate(reason, maxErrorLength), parked, s.config.Schedule.After(failures).Seconds())
		if parked {
			batch.Queue(`UPDATE event_processing_lag SET status = 'FAILED', failed_in = $2 WHERE event_id = $1 AND status = 'CREATED'`,
				r.EventID, HandlerName)
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return parked, fmt.Errorf("record the failure of outbox row %d: %w", r.ID, err)
	}
	return parked, nil
}

func truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && s[limit]&0xC0 == 0x80 { // do not cut a UTF-8 sequence
		limit--
	}
	return s[:limit]
}
