package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResumeGoesOnWithWhatWasFound(t *testing.T) {
	f := fault{name: "f", what: "what it is now"}
	sound := result{Fault: "f", What: "what it was", Commits: []string{"old"}, Rounds: 5, Struck: 5}
	wrong := sound
	wrong.Lost = 1
	vacuous := sound
	vacuous.Struck = 0
	for name, tt := range map[string]struct {
		before     result
		commit     string
		wantRounds int // of before that count
		wantLeft   int
	}{
		"nothing":                    {result{}, "new", 0, 8},
		"enough of another build":    {result{Fault: "f", Commits: []string{"old"}, Rounds: 9, Struck: 1}, "new", 9, 0},
		"some of this build":         {sound, "old", 5, 3},
		"some of another build":      {sound, "new", 5, 3},
		"wrong in this build":        {wrong, "old", 5, 0},
		"wrong in another build":     {wrong, "new", 0, 8},
		"vacuous in this build":      {vacuous, "old", 5, 3},
		"vacuous in another build":   {vacuous, "new", 0, 8},
		"an entry without any round": {result{Fault: "f"}, "new", 0, 8},
	} {
		t.Run(name, func(t *testing.T) {
			got := tt.before.goOn(f, tt.commit)
			if got.Fault != f.name || got.What != f.what || got.Rounds != tt.wantRounds || got.left(8) != tt.wantLeft {
				t.Errorf("goes on with %+v, %d left; want %d, %d left", got, got.left(8), tt.wantRounds, tt.wantLeft)
			}
		})
	}
}

func TestRoundsAddUp(t *testing.T) {
	r := result{Fault: "f", What: "w"}
	r.add(counts{Lost: 1, Misanswered: 2, Asked: 3, Slowest: 2, Recovery: 0.5}, "a", true)
	r.add(counts{Lost: 1, Stuck: 1, Slowest: 1, Recovery: 0.1}, "a", false)
	r.add(counts{Recovery: 0.3}, "b", true)
	want := result{
		Fault: "f", What: "w", Commits: []string{"a", "b"}, Rounds: 3, Struck: 2,
		counts:     counts{Lost: 2, Stuck: 1, Misanswered: 2, Asked: 3, Slowest: 2},
		Recoveries: []float64{0.5, 0.1, 0.3},
	}
	if diff := cmp.Diff(want, r, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("the sum differs (-want +got):\n%s", diff)
	}
	row := report{r}.table()
	if want := "| w | 3 | 2 | 0 | 3 | 2 | 0 | 0 | 0 | 1 | 2 | 0 | 0.3 s (0.5 s) | a, b |\n"; !strings.HasSuffix(row, want) {
		t.Errorf("the table ends with\n%s, want\n%s", row, want)
	}
	if header := strings.SplitN(row, "\n", 3); strings.Count(header[0], "|") != strings.Count(header[2], "|") {
		t.Errorf("the table's head has other columns than its rows:\n%s", row)
	}
}

func TestAReportIsKept(t *testing.T) {
	dir := t.TempDir()
	if none, err := readReport(dir); err != nil || none != nil {
		t.Errorf("where there is none: %v, error %v", none, err)
	}
	var r report
	r.put(result{Fault: "disk-full", Rounds: 1})
	r.put(result{Fault: "kill-postgres", Rounds: 1, counts: counts{Asked: 2}})
	r.put(result{Fault: "disk-full", Rounds: 2})
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := readReport(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := report{{Fault: "kill-postgres", Rounds: 1, counts: counts{Asked: 2}}, {Fault: "disk-full", Rounds: 2}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("what is read differs (-want +got):\n%s", diff)
	}
}

func TestChoose(t *testing.T) {
	all, err := choose(nil)
	if err != nil || len(all) != len(faults()) {
		t.Errorf("%d of %d faults, error %v", len(all), len(faults()), err)
	}
	seen := map[string]bool{}
	for _, f := range all {
		if seen[f.name] || f.what == "" || f.evidence.seen == nil || f.evidence.what == "" {
			t.Errorf("%s is there twice, or says too little of itself", f.name)
		}
		seen[f.name] = true
	}
	if some, err := choose([]string{"disk-full", "deadlocks"}); err != nil || len(some) != 2 || some[0].name != "disk-full" || some[1].name != "deadlocks" {
		t.Errorf("chosen are %v, error %v", some, err)
	}
	if _, err := choose([]string{"earthquake"}); err == nil {
		t.Error("a fault that does not exist is chosen")
	}
	if first := inOrder(all)[0]; !first.heavy {
		t.Errorf("%s is tried first", first.name)
	}
}

func TestEvidence(t *testing.T) {
	for name, tt := range map[string]struct {
		evidence evidence
		shows    counts
	}{
		"asked again":     {askedAgain, counts{Asked: 1}},
		"answered again":  {answeredAgain, counts{Replayed: 1}},
		"delivered again": {deliveredAgain, counts{Duplicates: 1}},
		"held up":         {heldUp, counts{Held: 1}},
		"hits":            {hits("x"), counts{Hits: 1}},
		"slow":            {slowed(1), counts{Slowest: 1}},
		"no answer":       {slowed(1), counts{Asked: 1, Slowest: 0.1}},
	} {
		if !tt.evidence.seen(tt.shows) || tt.evidence.seen(counts{Slowest: 0.9}) {
			t.Errorf("%s: seen in %+v: %t, in nothing: %t", name, tt.shows, tt.evidence.seen(tt.shows), tt.evidence.seen(counts{}))
		}
	}
}

// A campaign that finds nothing to do tells what was wrong before.
func TestWhatWasWrongStaysWrong(t *testing.T) {
	f := fault{name: "f", evidence: hits("x")}
	lab := &lab{} // which would fail to start anything
	for name, tt := range map[string]struct {
		before  result
		wrong   bool
		vacuous bool
	}{
		"sound":   {result{Fault: "f", Commits: []string{"c"}, Rounds: 3, Struck: 1}, false, false},
		"wrong":   {result{Fault: "f", Commits: []string{"c"}, Rounds: 1, Struck: 1, counts: counts{Lost: 1}}, true, false},
		"vacuous": {result{Fault: "f", Commits: []string{"c"}, Rounds: 3}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := &campaign{rounds: 3, resume: true, commit: "c", report: report{tt.before}}
			c.try(t.Context(), lab, f)
			err := errors.Join(c.errs...)
			var vacuous *vacuousError
			if (err != nil) != tt.wrong || errors.As(err, &vacuous) != tt.vacuous {
				t.Errorf("says %v", err)
			}
		})
	}
}

func TestAFaultThatHasNotStruckGetsAsManyRoundsAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		found result
		left  int
	}{
		"struck":                {result{Rounds: 3, Struck: 1}, 0},
		"has not struck":        {result{Rounds: 3}, 3},
		"has not struck either": {result{Rounds: 6}, 0},
		"struck at last":        {result{Rounds: 6, Struck: 1}, 0},
		"was found wrong":       {result{Rounds: 3, counts: counts{Lost: 1}}, 0},
		"was never tried":       {result{}, 3},
	} {
		if got := tt.found.left(tt.found.enough(3)); got != tt.left {
			t.Errorf("a fault that %s has %d rounds left, want %d", name, got, tt.left)
		}
	}
}
