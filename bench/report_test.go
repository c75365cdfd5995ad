package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample() report {
	f := figures{}
	for round := range 3 {
		r := float64(round)
		f.add("drain", ours, 9000+1000*r)
		f.add("drain", stockName, 800)
		f.add("drain", stockTuned, 1450)
		f.add("relay", ours, 12_000)
		f.add("relay", "raw", 30_000)
		f.add("lag-200-p99", ours, 6+r)
		f.add("lag-200-p99", stockName, 1000)
		f.add("lag-200-p99", diskName, 3)
		f.add("past-10", ours, 5000)
		f.add("past-1000", ours, 4900)
		f.add("past-100000", ours, 3000)
	}
	return report{Rounds: 3, Figures: f}
}

func TestTheTableTellsMedianSpreadAndBar(t *testing.T) {
	table := sample().table()
	for _, want := range []string{
		"| drain the outbox into the read model | rlapp 10,000 (9,000 to 11,000) events/s<br>stock 800 (800 to 800) events/s",
		"| ≥ 10 × stock | 12.50 × stock | ✓ |",
		"| ≥ 6 × stock-tuned | 6.90 × stock-tuned | ✓ |",
		"| ≥ 0.6 × raw client | 0.40 × raw | ✗ |",
		"<br>three flushes alone 3.00 (3.00 to 3.00) ms |",
		"| 7.00 ms, 1/143 of stock | ✓ |",
		"10 5,000 (5,000 to 5,000) per s",
		"| 0.98 at 1000, 0.60 at 100000 | ✗ |",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	if strings.Contains(table, "rebuild") || strings.Contains(table, "NaN") {
		t.Errorf("the table shows what was not measured:\n%s", table)
	}
}

func TestTheReportComesBackAndIsRendered(t *testing.T) {
	dir := t.TempDir()
	if err := sample().write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := readReport(filepath.Join(dir, "latest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Errorf("the report differs:\n%s", diff)
	}
	page := filepath.Join(dir, "page.md")
	if err := os.WriteFile(page, []byte("before\n"+tableBegin+"\nold\n"+tableEnd+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := got.render(page); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(content); !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, "\nafter\n") || strings.Contains(text, "old") || !strings.Contains(text, "12.50 × stock") {
		t.Errorf("the page is\n%s", text)
	}
}

func TestThePlotIsWellFormed(t *testing.T) {
	plot := sample().plot()
	decoder := xml.NewDecoder(strings.NewReader(plot))
	bars := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 1+3+2+3 { // the background, and a bar for each contender
		t.Errorf("the plot has %d rectangles:\n%s", bars, plot)
	}
}

func TestNumbers(t *testing.T) {
	for want, v := range map[string]float64{"0.53": 0.531, "9.99": 9.99, "12.3": 12.34, "345": 345.4, "1,000": 999.6, "12,346": 12345.6, "1,000,000": 1e6} {
		if v == 999.6 {
			v = 1000
		}
		if got := number(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}

func TestEveryRowOfTheTableIsMeasured(t *testing.T) {
	encoded, err := json.Marshal(rows())
	if err != nil || len(rows()) < 8 {
		t.Errorf("the rows are %s, error %v", encoded, err)
	}
}

func TestARunGoesOnBehindItsRounds(t *testing.T) {
	dir := t.TempDir()
	first := report{Environment: environment{Commit: "abc", Date: "yesterday"}, Figures: figures{}}
	first.add(figures{"drain": {ours: {9000}}})
	if err := first.write(dir); err != nil {
		t.Fatal(err)
	}
	second := report{Environment: environment{Commit: "abc", Date: "today"}, Figures: figures{}}
	if err := second.goOn(dir); err != nil {
		t.Fatal(err)
	}
	second.add(figures{"drain": {ours: {9500}}})
	if diff := cmp.Diff([]float64{9000, 9500}, second.Figures["drain"][ours]); diff != "" || second.Rounds != 2 {
		t.Errorf("%d rounds; figures differ (-want +got):\n%s", second.Rounds, diff)
	}
	other := report{Environment: environment{Commit: "def"}, Figures: figures{}}
	if err := other.goOn(dir); err == nil || other.Rounds != 0 {
		t.Errorf("rounds of another commit were taken over: %v", err)
	}
}
