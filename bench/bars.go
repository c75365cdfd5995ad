package main

import (
	"fmt"
	"math"
)

// bar is what a row of the table has to reach.
type bar struct {
	row    string // as people read it
	metric string // of the figures shown
	unit   string
	want   string
	// met returns the figure to compare, as text, and whether it reaches the bar.
	met func(f figures, z size) (got string, ok bool)
}

// mid is the median of a contender's figures.
func (f figures) mid(metric, contender string) float64 { return median(f[metric][contender]) }

// atLeast compares ours with another contender's.
func atLeast(metric string, factor float64, others ...string) func(figures, size) (string, bool) {
	return func(f figures, _ size) (string, bool) {
		text, ok := "", true
		for _, other := range others {
			ratio := f.mid(metric, ours) / f.mid(metric, other)
			text, ok = join(text, fmt.Sprintf("%.2f × %s", ratio, other)), ok && ratio >= factor
		}
		return text, ok
	}
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}

// below holds the median of ours below a limit.
func below(metric string, limit float64) func(figures, size) (string, bool) {
	return func(f figures, _ size) (string, bool) {
		v := f.mid(metric, ours)
		return number(v), v < limit
	}
}

// steadyBar holds a lag below a limit, without growth.
func steadyBar(rate string) func(figures, size) (string, bool) {
	return func(f figures, _ size) (string, bool) {
		p99, growth := f.mid("lag-"+rate+"-p99", ours), f.mid("lag-"+rate+"-growth", ours)
		return fmt.Sprintf("%s ms, median moved by %+.1f ms", number(p99), growth), p99 < 25 && growth < growthMs
	}
}

// within compares the rate at a large size with that at the small one.
func within(prefix string, sizes func(size) []int) func(figures, size) (string, bool) {
	return func(f figures, z size) (string, bool) {
		all := sizes(z)
		small := f.mid(fmt.Sprintf("%s-%d", prefix, all[0]), ours)
		text, ok := "", true
		for _, n := range all[1:] {
			ratio := f.mid(fmt.Sprintf("%s-%d", prefix, n), ours) / small
			text, ok = join(text, fmt.Sprintf("%.2f at %d", ratio, n)), ok && ratio >= 1/1.2
		}
		return text, ok
	}
}

// bars are the rows of the table.
func bars() []bar {
	return []bar{
		{"drain the outbox into the read model", "drain", "events/s", "≥ 10 × stock", atLeast("drain", 10, stockName)},
		{"", "drain", "events/s", "≥ 6 × stock-tuned", atLeast("drain", 6, stockTuned)},
		{"relay alone, outbox to confirmed", "relay", "events/s", "≥ 0.6 × raw client", atLeast("relay", 0.6, "raw")},
		{"lag at 200/s, p50", "lag-200-p50", "ms", "", nil},
		{"lag at 200/s, p99", "lag-200-p99", "ms", "< 10 ms and ≤ 1/100 of stock", func(f figures, _ size) (string, bool) {
			v, share := f.mid("lag-200-p99", ours), f.mid("lag-200-p99", stockName)/f.mid("lag-200-p99", ours)
			return fmt.Sprintf("%s ms, 1/%.0f of stock", number(v), share), v < 10 && share >= 100
		}},
		{"processor time for an event at 200/s, all of the machine", "lag-200-processor", "ms", "", nil},
		{"lag at 1,000/s, p99", "lag-1000-p99", "ms", "< 25 ms, no growth", steadyBar("1000")},
		{"lag at 2,000/s, p99", "lag-2000-p99", "ms", "< 25 ms, no growth", steadyBar("2000")},
		{"lag of single events, p99", "idle-p99", "ms", "< 10 ms", below("idle-p99", 10)},
		{"transactions of an idle system", "idle-queries", "per s", "≤ 1", below("idle-queries", 1.0001)},
		{"HTTP check-ins, 64 clients, 1,000 queues", "http", "per s", "≥ 1.5 × pgbench", atLeast("http", 1.5, "pgbench")},
		{"HTTP check-ins, all on one queue", "http-one-queue", "per s", "≥ 0.5 × 1,000 queues", func(f figures, _ size) (string, bool) {
			ratio := f.mid("http-one-queue", ours) / f.mid("http", ours)
			return fmt.Sprintf("%.2f", ratio), ratio >= 0.5
		}},
		{"check-ins with everything running, lag p99 < 1 s", "sustained", "per s", "≥ 3 × stock-tuned", atLeast("sustained", 3, stockTuned)},
		{"check-ins on a queue with a past", "past-10", "per s", "within 20 % of 10 past events", within("past", func(z size) []int { return z.past })},
		{"check-ins in a large store", "store-1000", "per s", "within 20 % of 1,000 events", within("store", func(z size) []int { return z.stores })},
		{"draining a large backlog", "", "events/s", "within 20 % of the small one", within("backlog", func(z size) []int { return z.backlogs })},
		{"rebuild, the slowest projection", "rebuild", "events/s", "≥ 50,000", func(f figures, _ size) (string, bool) {
			v := f.mid("rebuild", ours)
			return number(v), v >= 50_000
		}},
	}
}

// measured reports whether the bar's figures are there.
func (b bar) measured(f figures, z size) bool {
	if b.met == nil {
		return len(f[b.metricOf(z)]) > 0
	}
	got, _ := b.met(f, z)
	return len(f[b.metricOf(z)]) > 0 && got != "" && !containsNaN(got)
}

func (b bar) metricOf(z size) string {
	if b.metric == "" {
		return fmt.Sprintf("backlog-%d", z.backlogs[0])
	}
	return b.metric
}

func containsNaN(text string) bool {
	for i := 0; i+3 <= len(text); i++ {
		if text[i:i+3] == "NaN" {
			return true
		}
	}
	return false
}

// number writes a figure with as many digits as mean something.
func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.Abs(v) >= 1000:
		return thousands(int64(math.Round(v)))
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func thousands(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
