package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// sustained finds the highest rate at which the lag's p99 stays under a second and
// does not grow. Short probes go up from a first rate, step by step, until one does
// not hold, or down until one does; then the whole time is measured at the highest rate
// that held, and at the ones below where it does not hold. Later rounds begin at the
// rate of the one before, and may end above it.
func (s *suite) sustained(ctx context.Context, name string, first float64) error {
	rate := first
	if before := s.figures["sustained"][name]; len(before) > 0 {
		rate = before[len(before)-1]
	}
	holds, err := s.holds(ctx, name, rate, s.size.probe)
	if err != nil {
		return err
	}
	for up := holds; up; {
		if up, err = s.holds(ctx, name, rate*s.size.step, s.size.probe); err != nil {
			return err
		}
		if up {
			rate *= s.size.step
		}
	}
	switch {
	case !holds:
		rate /= s.size.step
	case s.size.probe >= s.size.sustained: // the probe was the measurement
		s.add("sustained", name, rate)
		return nil
	}
	for ; rate >= lowestRate; rate /= s.size.step {
		if holds, err = s.holds(ctx, name, rate, s.size.sustained); err != nil {
			return err
		}
		if holds {
			s.add("sustained", name, rate)
			return nil
		}
	}
	return fmt.Errorf("%s sustains not even %d events a second", name, lowestRate)
}

// lowestRate is where the search gives up.
const lowestRate = 20

// holds reports whether a contender keeps up with a rate.
func (s *suite) holds(ctx context.Context, name string, rate float64, duration time.Duration) (holds bool, err error) {
	err = s.with(ctx, name, func(_ *bench, p pipeline) error {
		r, err := s.lagAt(ctx, p, p.writer, rate, duration)
		if errors.Is(err, errLate) || errors.Is(err, errNotSettled) {
			s.logf("    %s at %.0f/s for %v: %v", name, rate, duration, err)
			return nil
		}
		if err != nil {
			return err
		}
		holds = r.lag.percentile(0.99) < 1000 && !r.lag.grows()
		s.logf("    %s at %.0f/s for %v: p99 %.0f ms, grows %v", name, rate, duration, r.lag.percentile(0.99), r.lag.grows())
		return nil
	})
	return holds, err
}
