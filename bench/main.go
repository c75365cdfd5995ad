package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
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
		err = measure(ctx, line.Measure.Quick, line.Measure.Rounds, line.Measure.Only)
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

func measure(ctx context.Context, small bool, rounds int, only []string) (err error) {
	for _, row := range only {
		if !slices.Contains(rows(), row) {
			return fmt.Errorf("there is no row %q; there are %s", row, strings.Join(rows(), ", "))
		}
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
	e, err := l.environment(ctx)
	if err != nil {
		return err
	}
	runErr := s.run(ctx, only)
	r := report{Environment: e, Quick: small, Rounds: s.size.rounds, Figures: s.figures}
	fmt.Print(r.table())
	if runErr != nil || len(only) > 0 {
		return runErr // what is not whole replaces no result
	}
	return r.write(results)
}
