package main

import (
	"context"
	"errors"
)

// drain measures how fast a backlog of the outbox gets into the read model: events
// lie in the outbox while nothing else runs, then relay and projections start. The
// clock runs from the first to the last row of the read model, or from the moment
// that the process is ready where that is earlier: starting up is not draining.
func (s *suite) drain(ctx context.Context, name string) error {
	return s.with(ctx, name, func(_ *bench, p pipeline) error {
		rate, err := s.drained(ctx, p, s.size.drain)
		if err != nil {
			return err
		}
		s.add("drain", name, rate)
		return nil
	})
}

func (s *suite) drained(ctx context.Context, p pipeline, events int) (rate float64, err error) {
	const queues = 1000
	do, end, err := p.writer(ctx, 64, queues)
	if err != nil {
		return 0, err
	}
	_, _, _, err = closed(ctx, 64, events, 0, do)
	if err = errors.Join(err, end()); err != nil {
		return 0, err
	}
	running, err := p.start(ctx)
	if err != nil {
		return 0, err
	}
	err = settle(ctx, p, events)
	if err == nil {
		err = p.verify(ctx, acknowledged{events, queues})
	}
	if err = errors.Join(err, running.Stop()); err != nil {
		return 0, err
	}
	first, last, err := p.projectedBetween(ctx)
	if running.Ready.Before(first) {
		first = running.Ready
	}
	return float64(events) / last.Sub(first).Seconds(), err
}
