package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/app/server"
	"github.com/rlapp/rlapp/app/server/config"
)

// resendCommand has a plugin handle events of the past once more. It goes to the database
// and to RabbitMQ, by the worker's configuration.
type resendCommand struct {
	whoFlags
	Handler string    `arg:"" help:"The plugin's handler, as plugin.<plugin>.<handler>."`
	Since   time.Time `help:"Events stored since then, such as 2026-02-19T09:41:00Z." required:""`
	Until   time.Time `help:"Events stored before then. Now unless given."`
	DryRun  bool      `help:"Only count them."`
}

var errEmptyTime = errors.New("--until is not after --since")

// Run implements kong's command.
func (c resendCommand) Run(ctx context.Context, settings config.Config) error {
	logger := slog.New(slog.DiscardHandler) // what matters is in the error
	if c.Until.IsZero() {
		c.Until = time.Now()
	}
	if !c.Until.After(c.Since) {
		return errEmptyTime
	}
	events, err := server.Resend(ctx, settings, logger, plugins(logger), server.ResendOrder{
		Handler: c.Handler, Since: c.Since, Until: c.Until, DryRun: c.DryRun, Who: postgres.Operator(c.whoFlags),
	})
	if err != nil {
		return err
	}
	done := "sent to"
	if c.DryRun {
		done = "would be sent to"
	}
	_, err = fmt.Fprintf(os.Stdout, "%d events %s %s.\n", events, done, c.Handler)
	return err
}
