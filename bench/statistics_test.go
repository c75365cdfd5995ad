package main

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	var hundred lag
	for n := 100; n > 0; n-- {
		hundred = append(hundred, float64(n))
	}
	for share, want := range map[float64]float64{0: 1, 0.01: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := hundred.percentile(share); got != want {
			t.Errorf("the percentile %v is %v, want %v", share, got, want)
		}
	}
	if got := (lag{7}).percentile(0.99); got != 7 {
		t.Errorf("of one value it is %v", got)
	}
	if got := percentile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("of nothing it is %v", got)
	}
	for want, values := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 2, 3}, 5: {5}} {
		if got := median(values); got != want {
			t.Errorf("the median of %v is %v, want %v", values, got, want)
		}
	}
}

func TestALagThatRisesGrows(t *testing.T) {
	run := func(at func(n int) float64) (l lag) {
		for n := range 3000 {
			l = append(l, at(n))
		}
		return l
	}
	for name, c := range map[string]struct {
		lag  lag
		want bool
	}{
		"steady":         {run(func(n int) float64 { return 5 + float64(n%7) }), false},
		"a spike":        {run(func(n int) float64 { return 5 + 1000*boolean(n > 1500 && n < 1600) }), false},
		"without end":    {run(func(n int) float64 { return float64(n) }), true},
		"a later level":  {run(func(n int) float64 { return 10 + 30*boolean(n > 2000) }), true},
		"too few to say": {lag{1, 2, 300}, false},
	} {
		if got := c.lag.grows(); got != c.want {
			t.Errorf("%s: grows is %v", name, got)
		}
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func TestProcessorTimeAndWakeUps(t *testing.T) {
	before := processorTime()
	for begin := time.Now(); time.Since(begin) < 200*time.Millisecond; {
	}
	if worked := processorTime() - before; worked < 100*time.Millisecond {
		t.Errorf("200 ms of work count as %v", worked)
	}
	if wakes := wakeUps(100); len(wakes) != 100 || slices.Min(wakes) <= 0 {
		t.Errorf("got %v", wakes)
	}
}
