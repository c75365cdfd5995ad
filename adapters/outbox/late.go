package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// lateAfter is how long a projection may take before the relay writes itself that
// an event was published. One that is in time writes that too, from the message, so
// that most lag rows are updated once and not twice.
const lateAfter = time.Second

// late are the events that were published not long ago, whose lag rows may have to
// say so.
type late struct {
	mu        sync.Mutex
	events    []string
	published []time.Time
	some      chan struct{} // gets a value when there are some
}

func newLate() *late { return &late{some: make(chan struct{}, 1)} }

func (l *late) add(r result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range r.delivered {
		l.events, l.published = append(l.events, one.EventID), append(l.published, r.publishedAt.UTC())
	}
	select {
	case l.some <- struct{}{}:
	default:
	}
}

func (l *late) take() (events []string, published []time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events, published = l.events, l.published
	l.events, l.published = nil, nil
	return events, published
}

// recordLate writes the lag of what projections have not taken in time, until ctx ends.
func (s *Subscriber) recordLate(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.late.some:
			s.pause(ctx, lateAfter)
			s.writeLate(ctx)
		}
	}
}

// writeLate writes what there is, also while stopping.
func (s *Subscriber) writeLate(ctx context.Context) {
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	if err := s.markLag(writing); err != nil {
		s.logger.WarnContext(ctx, "the lag of published events could not be written", "Component", "OutboxWorker", "error", err)
	}
}

// markLag writes that events were published. What a projection has locked or
// written is left to it: the relay never waits for a projection.
func (s *Subscriber) markLag(ctx context.Context) error {
	events, published := s.late.take()
	if len(events) == 0 {
		return nil
	}
	_, err := s.pool.Exec(ctx, `
		WITH free AS (
			SELECT l.id, e.published_at
			FROM unnest($1::uuid[], $2::timestamptz[]) AS e (event_id, published_at)
			JOIN event_processing_lag l ON l.event_id = e.event_id
			WHERE l.status = 'CREATED' OR l.failed_in = $3
			FOR UPDATE OF l SKIP LOCKED
		)
		UPDATE event_processing_lag l
		SET event_published_at = coalesce(l.event_published_at, free.published_at),
		    outbox_dispatch_duration_ms = coalesce(l.outbox_dispatch_duration_ms,
		        greatest(0, extract(epoch FROM free.published_at - l.event_created_at) * 1000)),
		    status = 'PUBLISHED', failed_in = NULL
		FROM free WHERE l.id = free.id`, events, published, HandlerName)
	if err != nil {
		return fmt.Errorf("write the lag of %d published events: %w", len(events), err)
	}
	return nil
}
