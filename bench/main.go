package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/rlapp/rlapp/bench/stock"
)

// commandLine is what bench understands.
type commandLine struct {
	Measure struct {
		Quick  bool     `help:"One small round of every row, in under three minutes."`
		Rounds int      `help:"Rounds; 0 stands for 3, or 1 with --quick."`
		Resume bool     `help:"Go on behind the rounds of bench/results that were measured at the same commit on the same machine."`
		Only   []string `help:"Rows to measure: ${rows}."`
	} `cmd:"" default:"withargs" help:"Measure, print the table, write JSON and plot to bench/results (default)."`
	Render struct{} `cmd:"" help:"Write the table of the last full run into docs/performance.md."`
	Peer   struct {
		Postgres string `required:"" help:"Connection string."`
		AMQP     string `required:"" name:"amqp" help:"URL."`
		Tuned    bool   `help:"With settings for throughput."`
	} `cmd:"" hidden:"" help:"Run the peer's relay and handler until told to end."`
}

const (
	results = "bench/results"
	page    = "docs/performance.md"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	var line commandLine
	parsed := kong.Parse(&line, kong.Name("bench"), kong.Description("Measures RLAPP beside its peers."),
		kong.Vars{"rows": strings.Join(rows(), ", ")})
	var err error
	switch strings.Fields(parsed.Command())[0] {
	case "peer":
		err = peerProcess(ctx, stock.Config{Postgres: line.Peer.Postgres, AMQP: line.Peer.AMQP, Tuned: line.Peer.Tuned})
	case "render":
		err = renderLast()
	default:
		m := line.Measure
		err = measure(ctx, m.Quick, m.Rounds, m.Resume, m.Only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be released
	}
}

func peerProcess(ctx context.Context, c stock.Config) error {
	return stock.Run(ctx, c, func() { fmt.Println("ready") })
}

func renderLast() error {
	r, err := readReport(filepath.Join(results, "latest.json"))
	if err != nil {
		return err
	}
	return r.render(page)
}

func measure(ctx context.Context, small bool, rounds int, resume bool, only []string) (err error) {
	for _, row := range only {
		if !slices.Contains(rows(), row) {
			return fmt.Errorf("there is no row %q; there are %s", row, strings.Join(rows(), ", "))
		}
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // as tuneCollector of app/server does: this process writes the events of the lag rows
	}
	l, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	s := &suite{lab: l, size: full, figures: figures{}, log: os.Stderr}
	if small {
		s.size = quick
	}
	if rounds > 0 {
		s.size.rounds = rounds
	}
	if err := l.useLog(ctx, s.size.log); err != nil {
		return err
	}
	e, err := l.environment(ctx)
	if err != nil {
		return err
	}
	r := report{Environment: e, Quick: small, Figures: s.figures}
	if resume {
		if err := r.goOn(results); err != nil {
			return err
		}
	}
	for r.Rounds < s.size.rounds {
		s.logf("round %d of %d", r.Rounds+1, s.size.rounds)
		s.figures = figures{}
		if err := s.round(ctx, only); err != nil {
			return err // what is not whole adds nothing to the result
		}
		r.add(s.figures)
		if len(only) > 0 {
			continue
		}
		if err := r.write(results); err != nil {
			return err
		}
	}
	fmt.Print(r.table())
	return nil
}
