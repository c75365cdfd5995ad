package server

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/embedded"
	"github.com/rlapp/rlapp/app/server/config"
)

// database returns where the events are: the configured server, or a private one
// that it starts.
func (s *Server) database(ctx context.Context) (connString string, err error) {
	if s.config.EventStore.ConnectionString != "" {
		return config.ParseConnectionString(s.config.EventStore.ConnectionString)
	}
	private, err := embedded.Start(ctx, embedded.Config{
		DataDirectory: s.config.Embedded.DataDirectory,
		BinDirectory:  s.config.Embedded.BinDirectory,
		NoDownload:    !s.config.Embedded.Download,
		Logger:        s.logger,
	})
	if err != nil {
		return "", err
	}
	return private.ConnString(), s.process.start(ctx, stage{
		name: "private PostgreSQL",
		run: func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return nil
			case <-private.Done():
				return fmt.Errorf("it ended by itself: %w", private.Err())
			}
		},
		stop: func() error { return private.Stop(context.Background()) },
	})
}

// Migrate sets the schema up in the configured database.
func Migrate(ctx context.Context, c config.Config) error {
	return withPool(ctx, c, func(pool *pgxpool.Pool) error { return postgres.Migrate(ctx, pool) })
}

// withPool works with the configured database for a moment.
func withPool(ctx context.Context, c config.Config, work func(*pgxpool.Pool) error) error {
	connString, err := config.ParseConnectionString(c.EventStore.ConnectionString)
	if err != nil {
		return err
	}
	pool, err := postgres.Open(ctx, connString, postgres.PoolConfig{ApplicationName: "rlapp-command"})
	if err != nil {
		return err
	}
	defer pool.Close()
	return work(pool)
}

// greet tells a person who started everything where to look and what to try.
func (s *Server) greet() error {
	if s.role != RoleAll {
		return nil
	}
	transport := "in this process"
	if s.config.RabbitMq.HostName != "" {
		transport = "over RabbitMQ at " + s.config.RabbitMq.HostName
	}
	_, err := fmt.Fprint(s.out, strings.NewReplacer("{api}", "http://"+s.addr.String(), "{transport}", transport).Replace(greeting))
	return err
}

const greeting = `
RLAPP is ready. Events travel {transport}.

  API and docs   {api}/docs
  Health         {api}/health
  Metrics        {api}/metrics
  Monitor        {api}/api/waiting-room/monitor

Check a patient in:

  curl -X POST {api}/api/waiting-room/check-in \
    -H "Content-Type: application/json" \
    -d '{"queueId":"queue-1","patientId":"patient-1","patientName":"John Doe","priority":"HIGH","consultationType":"Cardiology"}'

Then look at the read model:

  curl {api}/api/waiting-room/monitor

Stop with Ctrl-C; the data stays.
`
