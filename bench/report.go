package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// report is what a run leaves behind.
type report struct {
	Environment environment `json:"environment"`
	Quick       bool        `json:"quick"`
	Rounds      int         `json:"rounds"`
	Figures     figures     `json:"figures"`
}

// add takes in one more round.
func (r *report) add(round figures) {
	for metric, contenders := range round {
		for contender, values := range contenders {
			for _, v := range values {
				r.Figures.add(metric, contender, v)
			}
		}
	}
	r.Rounds++
}

// file is where the report lies in a folder, without its ending.
func (r report) file(dir string) string {
	if r.Quick {
		return filepath.Join(dir, "quick")
	}
	return filepath.Join(dir, "latest")
}

// goOn takes the rounds over that a folder has, if they were measured on the same
// commit and machine: others say nothing about these.
func (r *report) goOn(dir string) error {
	before, err := readReport(r.file(dir) + ".json")
	if err != nil {
		return fmt.Errorf("go on behind the last run: %w", err)
	}
	if was, is := before.Environment.identity(), r.Environment.identity(); was != is {
		return fmt.Errorf("the last run was at %s, this is %s: measure all rounds again", was, is)
	}
	r.Environment.Date, r.Rounds, r.Figures = before.Environment.Date, before.Rounds, before.Figures
	return nil
}

func (r report) size() size {
	if r.Quick {
		return quick
	}
	return full
}

// contenders are in the order in which the table shows them.
var contenders = []string{ours, stockName, stockTuned, "raw", "pgbench", "pgbench-one-statement", diskName}

// table is the report in Markdown.
func (r report) table() string {
	var t strings.Builder
	e := r.Environment
	fmt.Fprintf(&t, "%s, commit %s, %d round(s). %s, %d cores, %d GiB, Linux %s; %s, PostgreSQL %s, RabbitMQ %s; %s. One flush of the log takes %.0f µs%s. fsync, synchronous_commit, full_page_writes and confirms are on.\n\n",
		e.Date, e.Commit, r.Rounds, e.CPU, e.Cores, e.MemoryGiB, e.Kernel, e.Go, e.PostgreSQL, e.RabbitMQ, e.libraries(), e.FlushMicroseconds, e.wakeUps())
	t.WriteString("| what | figures: median (lowest to highest) | bar | reached | |\n|---|---|---|---|---|\n")
	for _, b := range bars() {
		if !b.measured(r.Figures, r.size()) {
			continue
		}
		got, mark := "", ""
		if b.met != nil {
			var ok bool
			got, ok = b.met(r.Figures, r.size())
			mark = map[bool]string{true: "✓", false: "✗"}[ok]
		}
		shown := r.shown(b)
		if b.row == "" {
			shown = ""
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s |\n", b.row, shown, b.want, got, mark)
	}
	fmt.Fprintf(&t, "\n%s\n", r.memory())
	return t.String()
}

// shown lists the figures of a row.
func (r report) shown(b bar) string {
	metrics := []string{b.metricOf(r.size())}
	if prefix, _, found := strings.Cut(metrics[0], "-"); found && slices.Contains([]string{"past", "store", "backlog"}, prefix) {
		metrics = nil
		for _, n := range map[string][]int{"past": r.size().past, "store": r.size().stores, "backlog": r.size().backlogs}[prefix] {
			metrics = append(metrics, fmt.Sprintf("%s-%d", prefix, n))
		}
	}
	var parts []string
	for _, metric := range metrics {
		for _, name := range contenders {
			values := r.Figures[metric][name]
			if len(values) == 0 {
				continue
			}
			label := name
			if len(metrics) > 1 {
				_, label, _ = strings.Cut(metric, "-")
			}
			parts = append(parts, fmt.Sprintf("%s %s (%s to %s) %s", label, number(median(values)), number(slices.Min(values)), number(slices.Max(values)), b.unit))
		}
	}
	return strings.Join(parts, "<br>")
}

// memory states the most that processes held.
func (r report) memory() string {
	var parts []string
	for _, m := range []struct{ metric, what string }{
		{"http-memory", "API, 1,000 queues"},
		{"http-one-queue-memory", "API, one queue with up to 90,000 patients"},
		{fmt.Sprintf("past-%d-memory", r.size().past[len(r.size().past)-1]), "API, queues with a long past"},
		{fmt.Sprintf("backlog-%d-memory", r.size().backlogs[1]), "worker with the large backlog"},
		{"rebuild-memory", "API while rebuilding"},
	} {
		if values := r.Figures[m.metric][ours]; len(values) > 0 {
			parts = append(parts, fmt.Sprintf("%s %.0f MiB", m.what, slices.Max(values)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "Peak memory of a process: " + strings.Join(parts, "; ") + "."
}

// write leaves the report in a folder, as JSON and as a plot.
func (r report) write(dir string) error {
	encoded, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // everyone may read it
		return err
	}
	if err := os.WriteFile(r.file(dir)+".json", append(encoded, '\n'), 0o644); err != nil { //nolint:gosec // everyone may read it
		return err
	}
	return os.WriteFile(r.file(dir)+".svg", []byte(r.plot()), 0o644) //nolint:gosec // everyone may read it
}

func readReport(path string) (report, error) {
	var r report
	content, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(content, &r)
}

const (
	tableBegin = "<!-- table: written by bench -- render -->"
	tableEnd   = "<!-- end of table -->"
)

// render puts the table into a page, between its marks.
func (r report) render(page string) error {
	content, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(content), tableBegin)
	_, after, closedToo := strings.Cut(rest, tableEnd)
	if !found || !closedToo {
		return fmt.Errorf("%s lacks the marks %q and %q", page, tableBegin, tableEnd)
	}
	return os.WriteFile(page, []byte(before+tableBegin+"\n\n"+r.table()+"\n"+tableEnd+after), 0o644) //nolint:gosec // everyone may read it
}
