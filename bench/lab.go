package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/embedded"
	"github.com/rlapp/rlapp/adapters/rabbitmq/rabbitmqtest"
	"github.com/rlapp/rlapp/bench/process"
	"github.com/rlapp/rlapp/bench/stock"
	"github.com/rlapp/rlapp/schema"
)

// parameters are the server's settings that are not PostgreSQL's defaults, the
// same for all contenders.
var parameters = map[string]string{
	"track_commit_timestamp": "on", // how lag is measured
	"shared_buffers":         "512MB",
	"max_wal_size":           "4GB",
	"min_wal_size":           "2GB",
}

// connections are the most that a contender's process, or its writer, has to
// PostgreSQL.
const connections = 16

// lab is where everything is measured: servers, programs and an empty folder.
type lab struct {
	dir    string
	server *embedded.Server
	broker *rabbitmqtest.Node
	rlapp  string // the program
	self   string // this program, which also runs the peers
}

// open starts the servers and builds the program under test.
func open(ctx context.Context) (*lab, error) {
	dir, err := os.MkdirTemp("", "rlapp-bench-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the server's own user must reach its data
		return nil, err
	}
	l := &lab{dir: dir, rlapp: filepath.Join(dir, "rlapp")}
	if l.self, err = os.Executable(); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", l.rlapp, "./bench/rlapp")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("build RLAPP (run this from the project's folder): %w: %s", err, out), l.close())
	}
	if l.server, err = embedded.Start(ctx, embedded.Config{DataDirectory: filepath.Join(dir, "postgres"), Parameters: parameters}); err != nil {
		return nil, errors.Join(err, l.close())
	}
	if l.broker, err = rabbitmqtest.Start(ctx, rabbitmqtest.Config{}); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// useLog writes the log's files once, as a server that has run for a while has done:
// it uses them again. A new server makes each of 16 MB when it is needed, and all
// commits wait for some 50 ms meanwhile, at 2,000 events a second every other second.
func (l *lab) useLog(ctx context.Context, megabytes int) error {
	write := fmt.Sprintf("SELECT pg_logical_emit_message(false, 'bench', repeat('x', 1000000)) FROM generate_series(1, %d)", megabytes)
	return errors.Join(l.admin(ctx, write), l.admin(ctx, "CHECKPOINT"))
}

func (l *lab) close() error {
	var errs []error
	if l.server != nil {
		errs = append(errs, l.server.Stop(context.Background()))
	}
	if l.broker != nil {
		errs = append(errs, l.broker.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}

// bench is one measurement's own: a new database and a broker without queues.
type bench struct {
	*lab
	database string
	url      string
	pool     *pgxpool.Pool
}

// fresh returns a bench with the schema of RLAPP.
func (l *lab) fresh(ctx context.Context) (*bench, error) {
	b := &bench{lab: l, database: fmt.Sprintf("bench_%d", time.Now().UnixNano())}
	if err := l.admin(ctx, "CREATE DATABASE "+b.database); err != nil {
		return nil, err
	}
	u, err := url.Parse(l.server.ConnString())
	if err != nil {
		return nil, err
	}
	u.Path = "/" + b.database
	b.url = u.String()
	if b.pool, err = postgres.Open(ctx, b.url, postgres.PoolConfig{ApplicationName: "bench", MaxConnections: 8}); err != nil {
		return nil, err
	}
	if err := errors.Join(postgres.Migrate(ctx, b.pool), b.emptyBroker()); err != nil {
		b.close()
		return nil, err
	}
	// What the last measurement left to write does not count against this one.
	return b, l.admin(ctx, "CHECKPOINT")
}

// close keeps the database until the end: a disk that discards what is deleted is
// slow for a while, and the next measurement would pay for it.
func (b *bench) close() { b.pool.Close() }

func (l *lab) admin(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, l.server.ConnString())
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// onBroker does something on a channel of its own.
func (l *lab) onBroker(do func(*amqp.Channel) error) error {
	conn, err := amqp.Dial(l.broker.URL())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	return do(ch)
}

// projections is the queue of RLAPP's projections.
const projections = schema.Topic + ".projections"

func (l *lab) emptyBroker() error {
	return l.onBroker(func(ch *amqp.Channel) error {
		for _, queue := range []string{projections, schema.Topic + ".dead.projections", stock.Queue(), rawQueue} {
			if _, err := ch.QueueDelete(queue, false, false, false); err != nil {
				return err
			}
		}
		for _, exchange := range []string{schema.Topic, schema.Topic + ".dead", stock.Topic, rawExchange} {
			if err := ch.ExchangeDelete(exchange, false, false); err != nil {
				return err
			}
		}
		return nil
	})
}

// start runs RLAPP in a role.
func (b *bench) start(ctx context.Context, role string) (*process.Process, error) {
	broker, err := url.Parse(b.broker.URL())
	if err != nil {
		return nil, err
	}
	password, _ := broker.User.Password()
	virtualHost, err := url.PathUnescape(strings.TrimPrefix(broker.EscapedPath(), "/"))
	if err != nil {
		return nil, err
	}
	env := []string{
		"EventStore__ConnectionString=" + b.url, fmt.Sprintf("EventStore__MaxConnections=%d", connections),
		"RabbitMq__HostName=" + broker.Hostname(), "RabbitMq__Port=" + broker.Port(),
		"RabbitMq__UserName=" + broker.User.Username(), "RabbitMq__Password=" + password,
		"WaitingRoom__MaxCapacity=100000",
		"Api__Address=127.0.0.1:0", "Worker__Address=127.0.0.1:0", "Projections__Address=127.0.0.1:0",
	}
	if virtualHost != "" {
		env = append(env, "RabbitMq__VirtualHost="+virtualHost)
	}
	return process.Start(ctx, env, b.rlapp, role)
}

// peer is the configuration of a peer on this bench.
func (b *bench) peer(tuned bool) stock.Config {
	return stock.Config{Postgres: b.url, AMQP: b.broker.URL(), Tuned: tuned}
}

// startPeer runs a peer's relay and handler.
func (b *bench) startPeer(ctx context.Context, tuned bool) (*process.Process, error) {
	args := []string{"peer", "--postgres", b.url, "--amqp", b.broker.URL()}
	if tuned {
		args = append(args, "--tuned")
	}
	return process.Start(ctx, nil, b.self, args...)
}
