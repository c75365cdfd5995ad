package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// steadyLag measures the lag at a steady rate. The events are written by this
// process, through the contender's write path without HTTP.
func (s *suite) steadyLag(ctx context.Context, name string, rate float64) error {
	return s.with(ctx, name, func(_ *bench, p pipeline) error {
		r, err := s.lagAt(ctx, p, p.direct, rate, s.size.lag)
		if err != nil && !errors.Is(err, errLate) {
			return err
		}
		key := fmt.Sprintf("lag-%.0f", rate)
		first, last := r.lag.thirds(0.5)
		s.add(key+"-p50", name, r.lag.percentile(0.5))
		s.add(key+"-p99", name, r.lag.percentile(0.99))
		s.add(key+"-growth", name, last-first)
		s.add(key+"-processor", name, r.worked)
		if name == ours {
			s.add(key+"-p50", diskName, r.disk.percentile(0.5))
			s.add(key+"-p99", diskName, r.disk.percentile(0.99))
		}
		return nil
	})
}

// warmUp is how long a pipeline works before the lag counts: connections, plans and
// caches are made by the first events, and the first of each queue is two, its
// creation and the check-in.
func warmUp(rate float64, queues int) time.Duration {
	return max(2*time.Second, time.Duration(float64(queues)/rate*float64(time.Second)))
}

// writing is one of a pipeline's ways to have events stored.
type writing func(ctx context.Context, workers, queues int) (do send, end func() error, err error)

// atRate is what was measured at a rate.
type atRate struct {
	lag    lag
	disk   lag     // what an event's flushes alone took meanwhile
	worked float64 // milliseconds of processor time for an event: all that runs on the machine, the load included
}

// lagAt measures at a rate.
func (s *suite) lagAt(ctx context.Context, p pipeline, by writing, rate float64, duration time.Duration) (r atRate, err error) {
	queues := s.size.lagQueues
	running, err := p.start(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, running.Stop()) }()
	do, end, err := by(ctx, 64, queues)
	if err != nil {
		return r, err
	}
	warm := warmUp(rate, queues)
	disk, err := watchDisk(ctx, s.dir, warm)
	if err != nil {
		return r, errors.Join(err, end())
	}
	before := processorTime()
	events, late, err := steady(ctx, 64, rate, warm+duration, do)
	r.worked = (processorTime() - before).Seconds() * 1000 / float64(max(1, events))
	var diskErr error
	r.disk, diskErr = disk.end()
	if err = errors.Join(err, diskErr, end()); err != nil {
		return r, err
	}
	if late > time.Second {
		s.logf("    the last of %d events at %.0f/s was sent %v late", events, rate, late.Round(time.Millisecond))
	}
	if err := settle(ctx, p, events); err != nil {
		return r, err
	}
	if err := p.verify(ctx, acknowledged{events, queues}); err != nil {
		return r, err
	}
	if r.lag, err = p.lags(ctx); err != nil {
		return r, err
	}
	r.lag = r.lag[min(len(r.lag), int(rate*warm.Seconds())):]
	if late > time.Second {
		return r, errLate
	}
	return r, nil
}

// errLate says that the events could not be written at a rate: the lag, which it
// comes with, is that of a lower one.
var errLate = errors.New("the events could not be written at that rate")

// idle measures the lag of single events in an idle system, and how many
// transactions that system makes when nothing happens.
func (s *suite) idle(ctx context.Context) error {
	return s.with(ctx, ours, func(b *bench, p pipeline) (err error) {
		running, err := p.start(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, running.Stop()) }()
		do, end, err := p.writer(ctx, 1, 10)
		if err != nil {
			return err
		}
		total := s.size.idleEvents + idleWarmUp
		disk, err := watchDisk(ctx, s.dir, idleWarmUp*s.size.idleGap)
		if err != nil {
			return errors.Join(err, end())
		}
		for event := 1; event <= total; event++ {
			pause(ctx, s.size.idleGap)
			if err := do(ctx, 0, event); err != nil {
				_, diskErr := disk.end()
				return errors.Join(err, diskErr, end())
			}
		}
		flushed, err := disk.end()
		if err := errors.Join(err, end(), settle(ctx, p, total), p.verify(ctx, acknowledged{total, 10})); err != nil {
			return err
		}
		l, err := p.lags(ctx)
		if err != nil {
			return err
		}
		s.add("idle-p50", ours, l[idleWarmUp:].percentile(0.5))
		s.add("idle-p99", ours, l[idleWarmUp:].percentile(0.99))
		s.add("idle-p50", diskName, flushed.percentile(0.5))
		s.add("idle-p99", diskName, flushed.percentile(0.99))
		queries, err := b.queriesPerSecond(ctx, s.size.idleQuiet)
		s.add("idle-queries", ours, queries)
		return err
	})
}

// idleWarmUp are the first events, which make connections and plans.
const idleWarmUp = 5

// reportedAfter is how long an idle backend may keep its counts to itself
// (PGSTAT_IDLE_INTERVAL of PostgreSQL 15).
const reportedAfter = 11 * time.Second

// queriesPerSecond counts the transactions of the database while nothing happens,
// but for the two that ask. A query of ours is a transaction of its own. Autovacuum,
// whose transactions count as well, rests meanwhile.
func (b *bench) queriesPerSecond(ctx context.Context, quiet time.Duration) (perSecond float64, err error) {
	if err := b.admin(ctx, "ALTER SYSTEM SET autovacuum = off"); err != nil {
		return 0, err
	}
	defer func() {
		err = errors.Join(err, b.admin(ctx, "ALTER SYSTEM RESET autovacuum"), b.admin(ctx, "SELECT pg_reload_conf()"))
	}()
	if err := b.admin(ctx, "SELECT pg_reload_conf()"); err != nil {
		return 0, err
	}
	count := func() (n int64, err error) {
		pause(ctx, reportedAfter)
		err = b.pool.QueryRow(ctx, `
			SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()`).Scan(&n)
		return n, err
	}
	before, err := count()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	pause(ctx, quiet)
	after, err := count()
	return float64(max(0, after-before-1)) / time.Since(begin).Seconds(), err
}
