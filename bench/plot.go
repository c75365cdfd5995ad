package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// plotted are the rows of the plot.
var plotted = []struct{ metric, title string }{
	{"drain", "drain, events/s"},
	{"relay", "relay alone, events/s"},
	{"http", "HTTP check-ins, per s"},
	{"sustained", "sustained with everything running, per s"},
	{"lag-200-p50", "lag at 200/s, p50, ms"},
	{"lag-200-p99", "lag at 200/s, p99, ms"},
	{"lag-1000-p99", "lag at 1,000/s, p99, ms"},
	{"lag-2000-p99", "lag at 2,000/s, p99, ms"},
	{"idle-p99", "lag of single events, p99, ms"},
}

var colours = map[string]string{
	ours: "#1f6feb", stockName: "#8b949e", stockTuned: "#57606a", "raw": "#bc8c3f", "pgbench": "#7d8590", "pgbench-one-statement": "#a8763e", diskName: "#d0b58a",
}

const (
	plotWidth, labelWidth, barHeight, rowGap = 900.0, 250.0, 14.0, 12.0
)

// plot draws the medians as bars on a logarithmic scale, each row on its own, with
// the spread as a line.
func (r report) plot() string {
	var body strings.Builder
	y := 60.0
	for _, row := range plotted {
		values := r.Figures[row.metric]
		if len(values) == 0 {
			continue
		}
		fmt.Fprintf(&body, `<text x="%.0f" y="%.1f" text-anchor="end" class="row">%s</text>`+"\n", labelWidth-12, y+11, html.EscapeString(row.title))
		low, high := extent(values)
		x := func(v float64) float64 {
			return labelWidth + (plotWidth-labelWidth-190)*(math.Log10(max(v, low))-math.Log10(low))/max(math.Log10(high)-math.Log10(low), 1e-9)
		}
		for _, name := range contenders {
			if len(values[name]) == 0 {
				continue
			}
			mid := median(values[name])
			fmt.Fprintf(&body, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", labelWidth, y, max(x(mid)-labelWidth, 1), barHeight-2, colours[name])
			fmt.Fprintf(&body, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#000" stroke-width="1.5"/>`+"\n",
				x(slices.Min(values[name])), x(slices.Max(values[name])), y+6, y+6)
			fmt.Fprintf(&body, `<text x="%.1f" y="%.1f">%s %s</text>`+"\n", x(slices.Max(values[name]))+6, y+10.5, number(mid), html.EscapeString(name))
			y += barHeight
		}
		y += rowGap
	}
	title := fmt.Sprintf("RLAPP beside its peers: median of %d round(s), line from lowest to highest; logarithmic", r.Rounds)
	about := fmt.Sprintf("%s, %d cores, commit %s, %s", r.Environment.CPU, r.Environment.Cores, r.Environment.Commit, r.Environment.Date)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="11">
<style>.row{font-weight:bold}</style>
<rect width="100%%" height="100%%" fill="#fff"/>
<text x="12" y="22" font-size="14" font-weight="bold">%s</text>
<text x="12" y="40" fill="#57606a">%s</text>
%s</svg>
`, plotWidth, y+10, html.EscapeString(title), html.EscapeString(about), body.String())
}

// extent is the range of a row's scale, from a tenth of the lowest figure.
func extent(values map[string][]float64) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, of := range values {
		for _, v := range of {
			if v > 0 {
				low = min(low, v)
			}
			high = max(high, v)
		}
	}
	return low / 10, max(high, low)
}
