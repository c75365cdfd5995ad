package main

import (
	"math"
	"slices"
)

// percentile is the value below which a share of the sorted values lies.
func percentile(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := int(math.Ceil(share*float64(len(sorted)))) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// lag is how long events took from their commit to that of their read model, in
// milliseconds, in the order of the events.
type lag []float64

func (l lag) percentile(share float64) float64 {
	return percentile(slices.Sorted(slices.Values(l)), share)
}

// thirds are the percentiles of the first and the last third of the run.
func (l lag) thirds(share float64) (first, last float64) {
	n := len(l) / 3
	return l[:n].percentile(share), l[len(l)-n:].percentile(share)
}

// tolerance is by how much the last third may exceed the first before it counts as
// growth: a lag that grows without end does so by much more.
const (
	growthFactor = 1.5
	growthMs     = 5
)

// grows reports whether the lag rose over the run, by its medians.
func (l lag) grows() bool {
	if len(l) < 30 {
		return false
	}
	first, last := l.thirds(0.5)
	return last > first*growthFactor+growthMs
}
