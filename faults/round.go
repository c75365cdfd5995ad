package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"
)

// round lets clients work, lets the fault strike meanwhile, and counts.
func (s *system) round(ctx context.Context, f fault, z size, w *workload) (c counts, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.lasts/z.shorten+10*time.Minute) // what a fault stores first may take minutes on a busy machine
	defer cancel()
	if w.began, err = s.committed(ctx); err != nil {
		return c, err
	}
	var m mending
	ended := make(chan error, 1)
	w.run(ctx, s.api, func() {
		effective, struck := context.WithCancel(ctx)
		go func() {
			defer struck()
			var err error
			m, err = s.strike(ctx, f, &strike{system: s, work: w, lasts: f.lasts / z.shorten, struck: struck})
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
	w.resolve(asking, s.api)
	stuck, err := s.settle(ctx, w, span{w.began, math.MaxInt64}, m.mended)
	if err != nil {
		return c, fmt.Errorf("wait until everything is through: %w", err)
	}
	if c, err = s.check(ctx, w); err != nil {
		return c, err
	}
	c.Stuck += stuck
	c.Hits, c.Held, c.Recovery = m.hits, m.held, m.recovery.Seconds()
	if f.unnoticed {
		c.Misanswered += c.Asked
	}
	s.recorder.forget()
	return c, s.alive()
}

// mending is what a fault has found, when it was mended, and how long it took until the
// events that were committed by then were through.
type mending struct {
	hits, held int64
	mended     time.Time
	recovery   time.Duration
}

// strike lets a fault strike and be mended, and waits for what it has held up, which is
// told apart from what the clients still send.
func (s *system) strike(ctx context.Context, f fault, one *strike) (m mending, err error) {
	if err := f.strike(ctx, one); err != nil {
		return m, fmt.Errorf("the fault itself: %w", err)
	}
	m.mended, m.hits, m.held = time.Now(), one.hits, one.held
	var last int64
	err = until(ctx, settleLimit, func() (bool, error) { // connections from before may be gone
		last, err = s.committed(ctx)
		return true, err
	})
	if err != nil {
		return m, err
	}
	_, err = s.settle(ctx, one.work, span{one.work.began, last}, m.mended) // the round's own wait tells what is stuck
	m.recovery = time.Since(m.mended)
	return m, err
}

// wrongError says that a promise was broken.
type wrongError struct {
	round  string
	counts counts
	// where are the requests and the logs.
	where string
}

func (e *wrongError) Error() string {
	c := e.counts
	return fmt.Sprintf("round %s: %d lost, %d phantom, %d doubled, %d out of order, %d stuck, %d answered wrongly; the requests and the logs are in %s",
		e.round, c.Lost, c.Phantom, c.Doubled, c.OutOfOrder, c.Stuck, c.Misanswered, e.where)
}

// rounds are some of a fault: how many there are already, how many there shall be, and
// what their requests are drawn from.
type rounds struct {
	done, asked int
	seed        uint64
}

// try runs rounds of a fault, tells what each found, and compares the read models with
// the events after the last one, for which that counts.
func (s *system) try(ctx context.Context, f fault, z size, all rounds, each func(counts)) error {
	var errs []error
	for n := all.done; n < all.asked; n++ {
		w := newWorkload(z, fmt.Sprintf("%s-%d-%d", f.name, all.seed, n), all.seed+uint64(n)) //nolint:gosec // not negative
		c, err := s.round(ctx, f, z, w)
		var different []*differenceError
		if err == nil && n == all.asked-1 {
			different, err = s.compare(ctx)
		}
		if err != nil {
			s.broken = true
			return errors.Join(append(errs, fmt.Errorf("round %s: %w; the requests and the logs are in %s", w.name(), err, s.keep(w)))...)
		}
		for _, d := range different {
			c.OutOfOrder += d.rows
			errs = append(errs, d)
		}
		each(c)
		if c.wrong() {
			errs = append(errs, &wrongError{round: w.name(), counts: c, where: s.keep(w)})
		}
	}
	return errors.Join(errs...)
}

// keep writes the requests of a round beside the logs, for a person, and returns where.
func (s *system) keep(w *workload) string {
	s.keepLogs = true
	file, err := os.Create(filepath.Join(s.logs, w.name()+".jsonl"))
	if err != nil {
		return err.Error()
	}
	out := bufio.NewWriter(file)
	lines := json.NewEncoder(out)
	for _, r := range w.requests {
		err = errors.Join(err, lines.Encode(r))
	}
	if err := errors.Join(err, out.Flush(), file.Close()); err != nil {
		return err.Error()
	}
	return s.logs
}
