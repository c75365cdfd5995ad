package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rlapp/rlapp/readmodel"
)

// rebuild measures how fast a read model is rebuilt from a large store, through the
// endpoint that operators use: each projection in turn, and the slowest counts.
func (s *suite) rebuild(ctx context.Context) error {
	return s.with(ctx, ours, func(b *bench, _ pipeline) (err error) {
		events := s.size.rebuild
		if err := b.generate(ctx, arrivals, "queue-", 1000, events/1000); err != nil {
			return err
		}
		all, err := b.start(ctx, "api")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, all.Stop()) }()
		c, err := connect(ctx, all.Hello, 1, 1)
		if err != nil {
			return err
		}
		slowest := time.Duration(0)
		for _, projection := range readmodel.Projections() {
			took, err := b.rebuilt(ctx, c, projection.ID)
			if err != nil {
				return err
			}
			s.logf("    %s: %.0f events/s", projection.ID, float64(events)/took.Seconds())
			slowest = max(slowest, took)
		}
		s.add("rebuild", ours, float64(events)/slowest.Seconds())
		s.add("rebuild-memory", ours, all.PeakMiB())
		if err = errors.Join(err, c.close()); err != nil {
			return err
		}
		var wrong int64
		if err := b.pool.QueryRow(ctx, `
			SELECT count(*) FROM (SELECT aggregate_id, count(*) - 1 AS n FROM waiting_room_events GROUP BY 1) e
			LEFT JOIN waiting_queue_view q ON q.queue_id = e.aggregate_id
			LEFT JOIN (SELECT queue_id, count(*) AS n FROM waiting_patients_view GROUP BY 1) v ON v.queue_id = e.aggregate_id
			LEFT JOIN (SELECT queue_id, count(*) AS n FROM patient_journey_view GROUP BY 1) j ON j.queue_id = e.aggregate_id
			WHERE q.total_patients_waiting IS DISTINCT FROM e.n OR v.n IS DISTINCT FROM e.n OR j.n IS DISTINCT FROM e.n`).Scan(&wrong); err != nil {
			return err
		}
		if wrong > 0 {
			return fmt.Errorf("WRONG: %d rebuilt queues differ from their events", wrong)
		}
		return nil
	})
}

// rebuilt has one projection rebuilt.
func (b *bench) rebuilt(ctx context.Context, c *clients, projection string) (time.Duration, error) {
	begin := time.Now()
	status, answer, err := c.conns[0].post("/api/projections/rebuild?projectionId="+projection, "{}")
	if err != nil {
		return 0, err
	}
	if status >= 300 {
		return 0, fmt.Errorf("the rebuild was answered %d: %s", status, answer)
	}
	err = until(ctx, settleLimit, func() (done bool, err error) {
		pause(ctx, 30*time.Millisecond)
		err = b.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM projection_checkpoints WHERE projection_id = $1 AND rebuilt_at IS NOT NULL)",
			projection).Scan(&done)
		return done, err
	})
	return time.Since(begin), err
}
