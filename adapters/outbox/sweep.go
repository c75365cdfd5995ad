package outbox

import "context"

// sweepAfter is how many rows of a backlog are published before the outbox is vacuumed.
const sweepAfter = 100_000

// sweep clears what was published of a backlog out of the index that the relay reads
// from the front: it would pass over all of it for each chunk, until autovacuum comes,
// which looks once a minute. Without a backlog that is soon enough.
type sweep struct {
	after  int
	passed int           // rows since the last one; of the drain's goroutine
	due    chan struct{} // gets a value when it is time
}

func newSweep() *sweep { return &sweep{after: sweepAfter, due: make(chan struct{}, 1)} }

// add counts a whole chunk.
func (w *sweep) add(rows int) {
	if w.passed += rows; w.passed < w.after {
		return
	}
	w.passed = 0
	select {
	case w.due <- struct{}{}:
	default:
	}
}

// sweepBacklog vacuums whenever it is time, until ctx ends. It leaves it to another relay
// or autovacuum that is at it; where the role does not own the table, PostgreSQL does
// nothing and says so in its log.
func (s *Subscriber) sweepBacklog(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.sweep.due:
		}
		_, err := s.pool.Exec(ctx, "VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF) waiting_room_outbox")
		if err != nil && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "the outbox could not be vacuumed; a large backlog drains more slowly",
				"Component", "OutboxWorker", "error", err)
		}
	}
}
