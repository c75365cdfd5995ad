package main

import (
	"context"
	"errors"
	"time"
)

// sustained finds the highest rate at which the lag's p99 stays under a second and
// does not grow: up the ladder with short probes, then the whole time at the highest
// step that held, and down where it does not hold.
func (s *suite) sustained(ctx context.Context, name string, ladder []float64) error {
	if s.step[name] == 0 { // once; the other rounds measure at and below that step
		for s.step[name] < len(ladder) {
			holds, err := s.holds(ctx, name, ladder[s.step[name]], s.size.probe)
			if err != nil {
				return err
			}
			if !holds {
				break
			}
			s.step[name]++
		}
	}
	for step := s.step[name] - 1; step >= 0; step-- {
		holds, err := s.holds(ctx, name, ladder[step], s.size.sustained)
		if err != nil {
			return err
		}
		if holds {
			s.add("sustained", name, ladder[step])
			return nil
		}
	}
	s.add("sustained", name, 0)
	return nil
}

// holds reports whether a contender keeps up with a rate.
func (s *suite) holds(ctx context.Context, name string, rate float64, duration time.Duration) (holds bool, err error) {
	err = s.with(ctx, name, func(_ *bench, p pipeline) error {
		l, err := s.lagAt(ctx, p, p.writer, rate, duration)
		if errors.Is(err, errLate) {
			return nil
		}
		if err != nil {
			return err
		}
		holds = l.percentile(0.99) < 1000 && !l.grows()
		s.logf("    %s at %.0f/s for %v: p99 %.0f ms, grows %v", name, rate, duration, l.percentile(0.99), l.grows())
		return nil
	})
	return holds, err
}
