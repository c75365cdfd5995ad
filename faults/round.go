package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// round lets clients work, lets the fault strike meanwhile, and counts.
func (s *system) round(ctx context.Context, f fault, z size, name string, seed uint64) (c counts, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.lasts/z.shorten+5*time.Minute)
	defer cancel()
	w := newWorkload(z, name, seed)
	began, err := s.committed(ctx)
	if err != nil {
		return c, err
	}
	var m mending
	ended := make(chan error, 1)
	w.run(ctx, s.api, func() {
		effective, strikes := context.WithCancel(ctx)
		s.struck = strikes
		go func() {
			defer strikes()
			var err error
			m, err = s.strike(ctx, f, z, w, began)
			ended <- err
		}()
		if f.gated {
			<-effective.Done()
		}
	})
	if err := <-ended; err != nil {
		return c, err
	}
	asking, stop := context.WithDeadline(ctx, m.mended.Add(settleLimit))
	defer stop()
	asked := w.resolve(asking, s.api)
	stuck, err := s.settle(ctx, w, span{began, math.MaxInt64}, m.mended)
	if err != nil {
		return c, fmt.Errorf("wait until everything is through: %w", err)
	}
	if c, err = s.check(ctx, w); err != nil {
		return c, err
	}
	c.Stuck += stuck
	c.Asked, c.Recovery = int64(asked), m.recovery.Seconds()
	s.recorder.forget()
	return c, s.alive()
}

// mending is when a fault was mended, and how long it took until the events that were
// committed by then were through.
type mending struct {
	mended   time.Time
	recovery time.Duration
}

// strike lets a fault strike and be mended, and waits for what it has held up, which is
// told apart from what the clients still send.
func (s *system) strike(ctx context.Context, f fault, z size, w *workload, began int64) (m mending, err error) {
	if err := f.strike(ctx, s, f.lasts/z.shorten); err != nil {
		return m, fmt.Errorf("the fault itself: %w", err)
	}
	m.mended = time.Now()
	var last int64
	err = until(ctx, settleLimit, func() (bool, error) { // connections from before may be gone
		last, err = s.committed(ctx)
		return true, err
	})
	if err != nil {
		return m, err
	}
	_, err = s.settle(ctx, w, span{began, last}, m.mended) // the round's own wait tells what is stuck
	m.recovery = time.Since(m.mended)
	return m, err
}

// wrongError says that a promise was broken.
type wrongError struct {
	fault, round string
	counts       counts
}

func (e *wrongError) Error() string {
	return fmt.Sprintf("%s, round %s: %d lost, %d phantom, %d doubled, %d out of order, %d stuck", e.fault, e.round,
		e.counts.Lost, e.counts.Phantom, e.counts.Doubled, e.counts.OutOfOrder, e.counts.Stuck)
}

// try runs rounds of a fault.
func (s *system) try(ctx context.Context, f fault, z size, rounds int, seed uint64, each func(counts)) error {
	var errs []error
	for n := range rounds {
		name := fmt.Sprintf("%s-%d-%d", f.name, seed, n)
		c, err := s.round(ctx, f, z, name, seed+uint64(n))
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("%s: %w", name, err))...)
		}
		each(c)
		if c.wrong() {
			errs = append(errs, &wrongError{fault: f.name, round: name, counts: c})
		}
	}
	return errors.Join(errs...)
}
