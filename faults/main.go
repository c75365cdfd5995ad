package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/rlapp/rlapp/app/server"
	"github.com/rlapp/rlapp/app/server/config"
	"github.com/rlapp/rlapp/bench/process"
)

// commandLine is what faults understands.
type commandLine struct {
	Try struct {
		Long     bool     `help:"Full rounds: 2,000 commands each, and every fault as long as it is meant to last."`
		Rounds   int      `help:"Rounds of each fault; 0 stands for 30 with --long, else 3."`
		Only     []string `help:"Faults to try; all unless given."`
		Resume   bool     `help:"Add to the long rounds that faults/results has, up to as many as asked for. What is wrong there stays so for the commit that it was found in, and begins anew for another."`
		Seed     uint64   `help:"What the requests are drawn from; 0 stands for the time."`
		Parallel int      `help:"How many faults are tried at a time, each on a system of its own." default:"2"`
	} `cmd:"" default:"withargs" help:"Try the faults, print the table, and with --long write it to faults/results (default)."`
	List   struct{} `cmd:"" help:"List the faults."`
	Render struct{} `cmd:"" help:"Write the table of the last long rounds into docs/reliability.md."`
	Serve  struct {
		Role string `arg:"" help:"api, worker or projections."`
	} `cmd:"" hidden:"" help:"Be RLAPP in a role, with a recorder."`
}

const (
	results = "faults/results"
	page    = "docs/reliability.md"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	var line commandLine
	parsed := kong.Parse(&line, kong.Name("faults"), kong.Description("Tries to break the promises of docs/reliability.md."))
	var err error
	switch strings.Fields(parsed.Command())[0] {
	case "serve":
		err = serve(ctx, server.Role(line.Serve.Role))
	case "list":
		for _, f := range faults() {
			fmt.Printf("%-32s %s\n", f.name, f.what)
		}
	case "render":
		err = renderLast()
	default:
		err = line.try(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be released
	}
}

func (line commandLine) try(ctx context.Context) error {
	t := line.Try
	c := &campaign{size: short, rounds: 3, resume: t.Resume, seed: t.Seed, commit: process.Commit(ctx, results, page)}
	if t.Long {
		c.size, c.rounds = long, 30
	}
	if t.Rounds > 0 {
		c.rounds = t.Rounds
	}
	if t.Seed == 0 {
		c.seed = uint64(time.Now().Unix()) //nolint:gosec // after 1970
	}
	chosen, err := choose(t.Only)
	if err != nil {
		return err
	}
	if t.Long {
		if c.report, err = readReport(results); err != nil {
			return err
		}
	}
	if c.program, err = os.Executable(); err != nil {
		return err
	}
	err = c.run(ctx, chosen, max(1, t.Parallel))
	fmt.Print(c.report.table())
	return err
}

// choose returns the faults of some names, all for none.
func choose(names []string) (chosen []fault, err error) {
	if len(names) == 0 {
		return faults(), nil
	}
	for _, name := range names {
		all := faults()
		at := slices.IndexFunc(all, func(f fault) bool { return f.name == name })
		if at < 0 {
			return nil, fmt.Errorf("there is no fault %q; the command list lists them", name)
		}
		chosen = append(chosen, all[at])
	}
	return chosen, nil
}

// serve is RLAPP in a role, with a recorder. It prints its address once it is at work.
func serve(ctx context.Context, role server.Role) error {
	c, err := config.Load(os.Environ(), "")
	if err != nil {
		return err
	}
	log, err := os.OpenFile(os.Getenv("RLAPP_FAULTS_LOG"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // the one who started us says where
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	logger := slog.New(slog.NewTextHandler(io.MultiWriter(os.Stderr, log), &slog.HandlerOptions{Level: slog.LevelWarn}))
	s := server.New(role, c, logger, io.Discard, recordTo(os.Getenv("RLAPP_FAULTS_RECORDER")))
	go func() {
		<-s.Ready()
		fmt.Println(s.Address())
	}()
	return s.Run(ctx)
}
