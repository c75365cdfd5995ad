package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// result is what the rounds of one fault found.
type result struct {
	Fault string `json:"fault"`
	What  string `json:"what"`
	// Commits are the builds that were tried, the last one last.
	Commits []string `json:"commits"`
	Rounds  int      `json:"rounds"`
	// Struck is in how many of them the fault shows to have struck.
	Struck int `json:"struck"`
	counts
	Recoveries []float64 `json:"recoveries"` // seconds
}

// add counts a round in, and whether the fault struck in it.
func (r *result) add(c counts, commit string, struck bool) {
	r.Rounds++
	r.Struck += int(one(struck))
	if !slices.Contains(r.Commits, commit) {
		r.Commits = append(r.Commits, commit)
	}
	sum := &r.counts
	for into, n := range map[*int64]int64{
		&sum.Lost: c.Lost, &sum.Phantom: c.Phantom, &sum.Doubled: c.Doubled, &sum.OutOfOrder: c.OutOfOrder, &sum.Stuck: c.Stuck,
		&sum.Misanswered: c.Misanswered, &sum.Acknowledged: c.Acknowledged, &sum.Rejected: c.Rejected, &sum.Asked: c.Asked,
		&sum.Replayed: c.Replayed, &sum.Duplicates: c.Duplicates, &sum.Hits: c.Hits, &sum.Held: c.Held,
	} {
		*into += n
	}
	sum.Slowest = max(sum.Slowest, c.Slowest)
	r.Recoveries = append(r.Recoveries, c.Recovery)
}

// ofCommit reports whether a build was the last one that was tried.
func (r result) ofCommit(commit string) bool {
	return len(r.Commits) > 0 && r.Commits[len(r.Commits)-1] == commit
}

// vacuous reports whether the fault was tried and has never struck.
func (r result) vacuous() bool { return r.Rounds > 0 && r.Struck == 0 }

// enough is how many rounds are enough where some were asked for: one fault or another
// needs luck to strike, so one that never has gets as many again.
func (r result) enough(asked int) int {
	if r.vacuous() {
		return 2 * asked
	}
	return asked
}

// goOn returns what to add rounds to. What was found wrong stands for the build that it
// was found in; another one begins anew, for it may have mended that.
func (r result) goOn(f fault, commit string) result {
	if bad := r.wrong() || r.vacuous(); r.Rounds > 0 && (!bad || r.ofCommit(commit)) {
		r.What = f.what
		return r
	}
	return result{Fault: f.name, What: f.what}
}

// left is how many rounds are to be added for there to be as many as asked for.
func (r result) left(asked int) int {
	if r.wrong() {
		return 0
	}
	return max(0, asked-r.Rounds)
}

// report is what was found, by fault.
type report []result

// of returns what was found of a fault; no rounds where there were none.
func (r report) of(name string) (found result) {
	if i := slices.IndexFunc(r, func(one result) bool { return one.Fault == name }); i >= 0 {
		found = r[i]
	}
	return found
}

// put replaces what was found before.
func (r *report) put(one result) {
	all := slices.DeleteFunc(*r, func(before result) bool { return before.Fault == one.Fault })
	all = append(all, one)
	order := faults()
	place := func(x result) int { return slices.IndexFunc(order, func(f fault) bool { return f.name == x.Fault }) }
	slices.SortStableFunc(all, func(a, b result) int { return place(a) - place(b) })
	*r = all
}

func file(dir string) string { return filepath.Join(dir, "latest.json") }

// readReport returns what the last long rounds found; nothing where there were none.
func readReport(dir string) (r report, err error) {
	encoded, err := os.ReadFile(file(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return r, json.Unmarshal(encoded, &r)
}

func (r report) write(dir string) error {
	encoded, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // part of the project
		return err
	}
	return os.WriteFile(file(dir), append(encoded, '\n'), 0o644) //nolint:gosec // part of the project
}

// table is the report in Markdown.
func (r report) table() string {
	var t strings.Builder
	t.WriteString("| fault | rounds | it struck in | acknowledged | asked again | lost | phantom | doubled | out of order | stuck | wrong answers | duplicates on the wire | recovery, median (longest) | commit |\n")
	t.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, one := range r {
		if one.Rounds == 0 {
			continue // it could not be tried
		}
		recoveries := slices.Sorted(slices.Values(one.Recoveries))
		fmt.Fprintf(&t, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %.1f s (%.1f s) | %s |\n", one.What, one.Rounds, one.Struck,
			one.Acknowledged, one.Asked, one.Lost, one.Phantom, one.Doubled, one.OutOfOrder, one.Stuck, one.Misanswered, one.Duplicates,
			recoveries[len(recoveries)/2], recoveries[len(recoveries)-1], strings.Join(one.Commits, ", "))
	}
	return t.String()
}

const (
	tableBegins = "<!-- faults: begin -->\n"
	tableEnds   = "<!-- faults: end -->"
)

func renderLast() error {
	r, err := readReport(results)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(text), tableBegins)
	_, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the table: %q and %q", page, tableBegins, tableEnds)
	}
	return os.WriteFile(page, []byte(before+tableBegins+r.table()+tableEnds+after), 0o644) //nolint:gosec // part of the project
}
