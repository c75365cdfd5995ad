package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/rlapp/rlapp/app/server"
	"github.com/rlapp/rlapp/app/server/config"
	"github.com/rlapp/rlapp/app/server/logging"
)

// commandLine is what rlapp understands.
type commandLine struct {
	Config   string `help:"Configuration file (JSON, in the form of the guide's appsettings.json). The environment wins over it." type:"existingfile"`
	Insecure bool   `help:"Let the API listen beyond this machine without asking callers who they are (Api__Insecure)."`
	InitDB   bool   `help:"Set the database schema up and exit (same as migrate)." name:"init-db"`

	All         struct{}           `cmd:"" default:"1" help:"Run everything in one process; needs no server unless configured (default)."`
	API         struct{}           `cmd:"" name:"api" help:"Run the HTTP API."`
	Worker      struct{}           `cmd:"" help:"Run the outbox worker, which relays events to RabbitMQ."`
	Projections struct{}           `cmd:"" help:"Run the projection worker, which keeps the read models."`
	Migrate     struct{}           `cmd:"" help:"Set the database schema up and exit."`
	Outbox      outboxCommands     `cmd:"" help:"Look into the outbox of a running API, and put it right."`
	Poison      poisonCommands     `cmd:"" help:"Look into what handlers gave up, and have it replayed."`
	Projection  projectionCommands `cmd:"" help:"Look at the read models of a running API, and rebuild them."`
	Resend      resendCommand      `cmd:"" help:"Send stored events to one plugin's handler once more."`
	Retention   retentionCommands  `cmd:"" help:"Archive and prune old rows."`
	Actions     actionsCommand     `cmd:"" help:"List what operators did: who, when, what and why."`
	Key         keyCommands        `cmd:"" help:"Make and end the API keys of kiosks and displays."`
	Health      healthCommand      `cmd:"" help:"Ask a running process for its health; exits with 1 unless it is healthy."`
}

type healthCommand struct {
	URL string `arg:"" optional:"" default:"http://127.0.0.1:5000/health/ready" help:"The process's health URL."`
}

// asksAPI reports whether a command asks a running API.
func asksAPI(command string) bool {
	kind, _, _ := strings.Cut(command, " ")
	return slices.Contains([]string{"outbox", "poison", "projection", "retention", "actions"}, kind)
}

func run(ctx context.Context, args, environ []string) error {
	var line commandLine
	parser, err := kong.New(&line, kong.Name("rlapp"), kong.Description("Event-driven backend of clinic waiting rooms."),
		kong.Vars{"user": user()})
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return fmt.Errorf("%w; see --help", err)
	}
	command := parsed.Command()
	if parsed.Selected().Name == "health" {
		return askHealth(ctx, line.Health.URL)
	}
	if asksAPI(command) {
		return parsed.Run(operator{ctx: ctx, out: os.Stdout})
	}
	c, err := config.Load(environ, line.Config)
	if err != nil {
		return fmt.Errorf("the configuration has mistakes; docs/configuration.md lists every key:\n%w", err)
	}
	if line.InitDB || command == "migrate" {
		if err := server.Migrate(ctx, c.ForServices()); err != nil {
			return err
		}
		_, err := fmt.Println("The database schema is up to date.")
		return err
	}
	if kind, _, _ := strings.Cut(command, " "); kind == "key" || kind == "resend" {
		parsed.BindTo(ctx, (*context.Context)(nil))
		return parsed.Run(c.ForServices())
	}
	c.Api.Insecure = c.Api.Insecure || line.Insecure
	role := server.Role(command)
	if role != server.RoleAll {
		c = c.ForServices()
	}
	return serve(ctx, role, c)
}

func serve(ctx context.Context, role server.Role, c config.Config) (err error) {
	logger, flush, err := logging.New(logging.Config{
		Format: c.Logging.Format, Level: c.Logging.Level, Writer: os.Stderr,
		SeqURL: c.Seq.URL, SeqAPIKey: c.Seq.APIKey, Service: "rlapp-" + string(role),
	})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		err = errors.Join(err, flush(ctx))
	}()
	return server.New(role, c, logger, os.Stdout, plugins(logger)...).Run(ctx)
}

const (
	// flushTimeout bounds the wait for logs on their way to Seq.
	flushTimeout = 3 * time.Second
	// healthTimeout bounds one health request.
	healthTimeout = 5 * time.Second
)

func askHealth(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("health: %s: %s", response.Status, body)
	}
	_, err = os.Stdout.Write(body)
	return err
}
