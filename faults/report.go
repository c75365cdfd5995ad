package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// result is what the rounds of one fault found.
type result struct {
	Fault  string `json:"fault"`
	What   string `json:"what"`
	Commit string `json:"commit"`
	Rounds int    `json:"rounds"`
	counts
	Recoveries []float64 `json:"recoveries"` // seconds
}

func (r *result) add(c counts) {
	r.Rounds++
	r.Lost, r.Phantom, r.Doubled = r.Lost+c.Lost, r.Phantom+c.Phantom, r.Doubled+c.Doubled
	r.OutOfOrder, r.Stuck, r.Duplicates = r.OutOfOrder+c.OutOfOrder, r.Stuck+c.Stuck, r.Duplicates+c.Duplicates
	r.Acknowledged, r.Rejected, r.Asked = r.Acknowledged+c.Acknowledged, r.Rejected+c.Rejected, r.Asked+c.Asked
	r.Recoveries = append(r.Recoveries, c.Recovery)
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
	t.WriteString("| fault | rounds | acknowledged | asked again | lost | phantom | doubled | out of order | stuck | duplicates on the wire | recovery, median (longest) | commit |\n")
	t.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
	for _, one := range r {
		if one.Rounds == 0 {
			continue // it could not be tried
		}
		slices.Sort(one.Recoveries)
		fmt.Fprintf(&t, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %.1f s (%.1f s) | %s |\n", one.What, one.Rounds, one.Acknowledged, one.Asked,
			one.Lost, one.Phantom, one.Doubled, one.OutOfOrder, one.Stuck, one.Duplicates,
			one.Recoveries[len(one.Recoveries)/2], one.Recoveries[len(one.Recoveries)-1], one.Commit)
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

func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
