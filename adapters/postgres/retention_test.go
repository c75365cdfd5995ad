package postgres_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
)

// pruning is what a run does last; it tells that there is one.
type pruning = func(context.Context) (int64, error)

// retain starts a retention, and returns what ends it.
func retain(t *testing.T, pool *pgxpool.Pool, logger *slog.Logger, prune pruning) (r *postgres.Retention, end func()) {
	t.Helper()
	r = postgres.NewRetention(pool, logger, postgres.RetentionConfig{Every: time.Hour, PruneOutbox: prune})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return r, func() {
		t.Helper()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// signal is a pruning that says so on a channel.
func signal(begun chan<- struct{}) pruning {
	return func(context.Context) (int64, error) { begun <- struct{}{}; return 0, nil }
}

func await(t *testing.T, something <-chan struct{}) {
	t.Helper()
	select {
	case <-something:
	case <-time.After(30 * time.Second):
		t.Fatal("not within 30 s")
	}
}

// retentionRuns are the runs by their outcome, the oldest first.
func retentionRuns(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		SELECT CASE WHEN ended_at IS NULL THEN 'runs' ELSE 'ended' END || coalesce(' ' || substring(error FOR 10), '') FROM retention_runs ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

func wantRuns(t *testing.T, pool *pgxpool.Pool, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, retentionRuns(t, pool)); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
}

var quiet = slog.New(slog.DiscardHandler)

// A process that stops writes that its run was broken off, and the next one runs at once.
func TestARunThatWasBrokenOffIsDueAtOnce(t *testing.T) {
	pool := newPool(t)
	begun := make(chan struct{})
	_, end := retain(t, pool, quiet, func(ctx context.Context) (int64, error) {
		close(begun)
		<-ctx.Done()
		return 0, ctx.Err()
	})
	await(t, begun)
	wantRuns(t, pool, "runs")
	end()
	wantRuns(t, pool, "ended broken off")
	var reason string
	if err := pool.QueryRow(t.Context(), "SELECT error FROM retention_runs").Scan(&reason); err != nil || !strings.Contains(reason, context.Canceled.Error()) {
		t.Errorf("the error is %q, %v", reason, err)
	}

	again := make(chan struct{}, 1)
	_, end = retain(t, pool, quiet, signal(again))
	await(t, again)
	eventually(t, func() bool { return retentionRuns(t, pool)[1] == "ended" })
	end()
	wantRuns(t, pool, "ended broken off", "ended")
}

// A killed process writes nothing. The next run tells, and is not kept by it.
func TestARunThatWasKilledIsDueAtOnce(t *testing.T) {
	pool := newPool(t)
	exec(t, pool, "INSERT INTO retention_runs (started_at, ended_at) VALUES (now() - interval '1 minute', now())")
	exec(t, pool, "INSERT INTO retention_runs DEFAULT VALUES")
	begun := make(chan struct{}, 1)
	_, end := retain(t, pool, quiet, signal(begun))
	await(t, begun)
	eventually(t, func() bool { return retentionRuns(t, pool)[2] == "ended" })
	end()
	wantRuns(t, pool, "ended", "ended broken off", "ended")
}

// The next run waits for its time after one that did all of its work.
func TestTheNextRunIsDueOnceTheIntervalIsOver(t *testing.T) {
	pool := newPool(t)
	exec(t, pool, "INSERT INTO retention_runs (started_at, ended_at) VALUES (now() - interval '1 hour' + interval '1 second', now())")
	begun := make(chan struct{}, 1)
	_, end := retain(t, pool, quiet, signal(begun))
	await(t, begun)
	end()
	var apart time.Duration
	if err := pool.QueryRow(t.Context(), "SELECT max(started_at) - min(started_at) FROM retention_runs").Scan(&apart); err != nil || apart < time.Hour {
		t.Errorf("the runs are %v apart, error %v", apart, err)
	}
}

// messages are the messages that are logged.
type messages chan string

func (messages) Enabled(context.Context, slog.Level) bool        { return true }
func (m messages) Handle(_ context.Context, r slog.Record) error { m <- r.Message; return nil }
func (m messages) WithAttrs([]slog.Attr) slog.Handler            { return m }
func (m messages) WithGroup(string) slog.Handler                 { return m }

// While one process runs, no other one does, be it due or asked for.
func TestOneProcessRunsAtATime(t *testing.T) {
	pool := newPool(t)
	begun, release := make(chan struct{}), make(chan struct{})
	_, end := retain(t, pool, quiet, func(context.Context) (int64, error) { close(begun); <-release; return 0, nil })
	await(t, begun)
	logged, second := make(messages, 10), make(chan struct{}, 1)
	other, endOther := retain(t, pool, slog.New(logged), signal(second))
	for range 2 {
		select {
		case message := <-logged:
			if message != "another process is archiving and pruning" {
				t.Error("it logged:", message)
			}
		case <-second:
			t.Error("a second run began")
		}
		wantRuns(t, pool, "runs")
		other.Start()
	}
	endOther()
	close(release)
	eventually(t, func() bool { return retentionRuns(t, pool)[0] == "ended" })
	end()
}

// A process that found a run due, and gets the lock when another one has just done it,
// does not run again.
func TestARunThatAnotherProcessHasDoneIsNotDue(t *testing.T) {
	connString := postgrestest.Migrated(t)
	pool := open(t, connString)
	looked, done := make(chan struct{}), make(chan struct{})
	begins, seen := make(chan struct{}), make(chan struct{})
	config, err := pgxpool.ParseConfig(connString)
	if err != nil {
		t.Fatal(err)
	}
	var acquired atomic.Int32
	config.PrepareConn = func(context.Context, *pgx.Conn) (bool, error) {
		switch acquired.Add(1) {
		case 2: // after the first look, for the lock
			close(looked)
			<-done
		case 3: // for the run that was asked for
			close(begins)
			<-seen
		}
		return true, nil
	}
	late, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(late.Close)
	other, endOther := retain(t, late, quiet, nil)
	await(t, looked)
	begun := make(chan struct{}, 1)
	_, end := retain(t, pool, quiet, signal(begun))
	await(t, begun)
	eventually(t, func() bool { return retentionRuns(t, pool)[0] == "ended" })
	end()
	other.Start()
	close(done)
	await(t, begins)
	wantRuns(t, pool, "ended") // until now there was none
	close(seen)
	endOther()
}

func exec(t *testing.T, pool *pgxpool.Pool, statement string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
