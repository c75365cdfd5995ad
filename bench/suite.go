package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// size says how much of everything is measured.
type size struct {
	rounds         int
	log            int // megabytes of the server's log that are used before
	drain, relay   int // events
	lag            time.Duration
	lagQueues      int
	idleEvents     int
	idleGap        time.Duration
	idleQuiet      time.Duration
	http, growth   time.Duration
	pgbench        time.Duration
	pgbenchClients []int
	probe          time.Duration
	step           float64 // of the search for the highest sustained rate
	sustained      time.Duration
	past           []int // events of a queue
	stores         []int // events
	backlogs       []int // events
	rebuild        int   // events
	lagRates       []float64
}

var full = size{
	rounds: 3, log: 2000, drain: 20_000, relay: 50_000, lag: 30 * time.Second, lagQueues: 1000, idleEvents: 100, idleGap: 500 * time.Millisecond, idleQuiet: 20 * time.Second,
	http: 10 * time.Second, growth: 8 * time.Second, pgbench: 5 * time.Second, pgbenchClients: []int{2, 4, 8, 16, 32, 64},
	probe: 10 * time.Second, sustained: 60 * time.Second, step: 1.25,
	past: []int{10, 1000, 100_000}, stores: []int{1000, 1_000_000}, backlogs: []int{100_000, 1_000_000}, rebuild: 1_000_000,
	lagRates: []float64{1000, 2000},
}

var quick = size{
	rounds: 1, log: 200, drain: 3000, relay: 10_000, lag: 2 * time.Second, lagQueues: 200, idleEvents: 6, idleGap: 300 * time.Millisecond, idleQuiet: 3 * time.Second,
	http: time.Second, growth: time.Second, pgbench: time.Second, pgbenchClients: []int{16},
	probe: 2 * time.Second, sustained: 2 * time.Second, step: 2,
	past: []int{10, 1000}, stores: []int{1000, 50_000}, backlogs: []int{10_000, 30_000}, rebuild: 60_000,
	lagRates: []float64{1000, 2000},
}

// httpLimit bounds the events of one run, for one queue has a capacity.
func (z size) httpLimit(queues int) int {
	if queues == 1 {
		return 90_000
	}
	return 0
}

// suite measures and keeps the figures.
type suite struct {
	*lab
	size    size
	figures figures
	log     io.Writer
}

// figures are the values of each round, by metric and contender.
type figures map[string]map[string][]float64

func (f figures) add(metric, contender string, value float64) {
	if f[metric] == nil {
		f[metric] = map[string][]float64{}
	}
	f[metric][contender] = append(f[metric][contender], value)
}

func (s *suite) add(metric, contender string, value float64) {
	s.figures.add(metric, contender, value)
	s.logf("  %s: %s %.4g", metric, contender, value)
}

func (s *suite) logf(format string, args ...any) {
	_, _ = fmt.Fprintf(s.log, format+"\n", args...)
}

// measurement is one step of a round.
type measurement struct {
	row string // what --only names
	run func(ctx context.Context) error
}

// measurements lists them in turns: the contenders of a row follow one another.
func (s *suite) measurements() []measurement {
	var all []measurement
	add := func(row string, run func(ctx context.Context) error) { all = append(all, measurement{row, run}) }
	for _, name := range []string{ours, stockName, stockTuned} {
		add("drain", func(ctx context.Context) error { return s.drain(ctx, name) })
	}
	add("relay", s.relay)
	for _, name := range []string{ours, stockName, stockTuned} {
		add("lag", func(ctx context.Context) error { return s.steadyLag(ctx, name, 200) })
	}
	for _, rate := range s.size.lagRates {
		add("lag", func(ctx context.Context) error { return s.steadyLag(ctx, ours, rate) })
	}
	add("lag", func(ctx context.Context) error { return s.steadyLag(ctx, stockTuned, s.size.lagRates[0]) })
	add("idle", s.idle)
	add("http", func(ctx context.Context) error { return s.http(ctx, "http", 1000) })
	for _, name := range []string{"pgbench", "pgbench-one-statement"} {
		add("http", func(ctx context.Context) error { return s.pgbench(ctx, name) })
	}
	add("http", func(ctx context.Context) error { return s.http(ctx, "http-one-queue", 1) })
	add("sustained", func(ctx context.Context) error { return s.sustained(ctx, ours, 2000) })
	add("sustained", func(ctx context.Context) error { return s.sustained(ctx, stockTuned, 500) })
	for _, past := range s.size.past {
		add("growth", func(ctx context.Context) error { return s.pastEvents(ctx, past) })
	}
	for _, events := range s.size.stores {
		add("growth", func(ctx context.Context) error { return s.storeSize(ctx, events) })
	}
	for _, events := range s.size.backlogs {
		add("growth", func(ctx context.Context) error { return s.backlog(ctx, events) })
	}
	add("rebuild", s.rebuild)
	return all
}

// rows are what --only takes.
func rows() []string {
	var names []string
	for _, m := range (&suite{size: quick}).measurements() {
		if !slices.Contains(names, m.row) {
			names = append(names, m.row)
		}
	}
	return names
}

// round measures everything once; only, if not empty, names the rows.
func (s *suite) round(ctx context.Context, only []string) error {
	for _, m := range s.measurements() {
		if len(only) > 0 && !slices.Contains(only, m.row) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		s.logf("%s", m.row)
		if err := m.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.row, err)
		}
	}
	return nil
}
