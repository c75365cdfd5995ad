package outbox

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// maxErrorLength bounds what last_error keeps, in bytes.
const maxErrorLength = 2000

// markFailed counts a failure and sets the next attempt by the schedule, or
// parks the row: at once when nothing can help, else when the attempts are used up.
func (s *Subscriber) markFailed(ctx context.Context, f failure) (parked bool, err error) {
	r, failures := f.row, f.row.RetryCount+1
	parked = f.hopeless || failures >= s.config.MaxAttempts
	batch := &pgx.Batch{}
	batch.Queue(`
			UPDATE waiting_room_outbox
			SET retry_count = $2, last_failed_at = now(), last_error = $3,
			    parked_at = CASE WHEN $4 THEN now() END, unroutable = $6,
			    next_attempt_at = CASE WHEN NOT $4 THEN now() + make_interval(secs => $5) END
			WHERE id = $1`, r.ID, failures, truncate(f.reason, maxErrorLength), parked, s.config.Schedule.After(failures).Seconds(),
		parked && f.unroutable)
	if parked {
		batch.Queue(`UPDATE event_processing_lag SET status = 'FAILED', failed_in = $2 WHERE event_id = $1 AND status = 'CREATED'`,
			r.EventID, HandlerName)
	}
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
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
