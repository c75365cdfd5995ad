package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// markAfter is how long the mark of a published row may wait for others: nobody waits
// for it, and a transaction for each of a few hundred rows a second would cost those
// that somebody waits for. What a crash leaves unmarked is published again.
const markAfter = 20 * time.Millisecond

// marks are the outcomes of a drain that the outbox does not show yet. They belong to
// one goroutine.
type marks struct {
	subscriber *Subscriber
	ctx        context.Context //nolint:containedctx // that of the drain

	waiting []result
	due     time.Time // of the first that waits

	written []result // by the background
	writing *background[struct{}]
}

// rows are those whose marks are not known to be written.
func (m *marks) rows() (chunks [][]*row) {
	for _, r := range slices.Concat(m.written, m.waiting) {
		chunks = append(chunks, r.delivered)
		for _, f := range r.failed {
			chunks = append(chunks, []*row{f.row})
		}
	}
	return chunks
}

// add takes an outcome in. It is written at once where events failed or a whole chunk
// was published.
func (m *marks) add(r result) error {
	if len(m.waiting) == 0 {
		m.due = time.Now().Add(markAfter)
	}
	m.waiting = append(m.waiting, r)
	whole := len(r.delivered) >= m.subscriber.config.BatchSize
	if whole {
		m.subscriber.sweep.add(len(r.delivered))
	}
	if whole || len(r.failed) > 0 {
		return m.write()
	}
	return nil
}

// linger waits for a wake-up while marks may wait, and reports whether there may be
// more to be read.
func (m *marks) linger() (more bool, err error) {
	if len(m.waiting) == 0 {
		return false, nil
	}
	timer := time.NewTimer(time.Until(m.due))
	defer timer.Stop()
	select {
	case <-m.ctx.Done():
		return false, nil
	case <-m.subscriber.wake:
		return true, nil
	case <-timer.C:
		return true, m.write()
	}
}

// write has what waits written in the background, after what was written before.
func (m *marks) write() error {
	if err := m.writing.err(); err != nil {
		return err
	}
	m.written, m.waiting = m.waiting, nil
	m.writing = inBackground(func() (struct{}, error) { return struct{}{}, m.subscriber.mark(m.ctx, m.written) })
	return nil
}

// finish returns when everything is written.
func (m *marks) finish() error {
	return errors.Join(m.writing.err(), m.subscriber.mark(m.ctx, m.waiting))
}

// markTimeout bounds the last write of a stopping relay.
const markTimeout = 5 * time.Second

// mark writes what became of rows, also while stopping: what was delivered would come
// again.
func (s *Subscriber) mark(ctx context.Context, results []result) error {
	marking, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	errs := []error{s.markDelivered(marking, results)}
	for _, r := range results {
		for _, f := range r.failed {
			errs = append(errs, s.recordFailure(marking, f))
		}
	}
	return errors.Join(errs...)
}

// markDelivered marks rows by explicit ids, since rows that committed late may lie
// between them.
func (s *Subscriber) markDelivered(ctx context.Context, results []result) error {
	var (
		ids []int64
		ats []time.Time
	)
	for _, r := range results {
		for _, one := range r.delivered {
			ids, ats = append(ids, one.ID), append(ats, r.publishedAt.UTC())
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := s.pool.Exec(ctx, `
		UPDATE waiting_room_outbox o SET published = true, published_at = m.published_at, next_attempt_at = NULL
		FROM unnest($1::bigint[], $2::timestamptz[]) AS m (id, published_at) WHERE o.id = m.id`, ids, ats)
	if err != nil {
		return fmt.Errorf("mark %d outbox rows published: %w", len(ids), err)
	}
	for _, r := range results {
		s.late.add(r)
		s.metrics.dispatched(r)
		s.logDispatched(ctx, r)
	}
	return nil
}
