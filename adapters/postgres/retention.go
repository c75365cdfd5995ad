package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// RetentionConfig says what is kept for how long. A zero age keeps it for ever.
type RetentionConfig struct {
	// ArchiveAfter is the age from which events of finished visits are archived.
	ArchiveAfter time.Duration
	// LagKept is how long the lag of single events is kept.
	LagKept time.Duration
	// PoisonKept is how long poisoned messages are kept that were replayed or discarded.
	PoisonKept time.Duration
	// Every is the time between two runs. Default: 24 h.
	Every time.Duration
	// PruneOutbox deletes the outbox rows that are due and returns how many. Default:
	// none are deleted.
	PruneOutbox func(context.Context) (int64, error)
}

// Retention archives and deletes what is old, by schedule and when told to. Of several
// processes one does at a time.
type Retention struct {
	pool   *pgxpool.Pool
	store  *EventStore
	logger *slog.Logger
	config RetentionConfig
	now    chan struct{}
}

// NewRetention returns a retention; Run does the work.
func NewRetention(pool *pgxpool.Pool, logger *slog.Logger, config RetentionConfig) *Retention {
	if config.Every <= 0 {
		config.Every = 24 * time.Hour
	}
	if config.PruneOutbox == nil {
		config.PruneOutbox = func(context.Context) (int64, error) { return 0, nil }
	}
	return &Retention{pool: pool, store: NewEventStore(pool, EventStoreConfig{}), logger: logger, config: config, now: make(chan struct{}, 1)}
}

// Start asks for a run now. It never blocks and is safe for concurrent use.
func (r *Retention) Start() {
	select {
	case r.now <- struct{}{}:
	default:
	}
}

// lookAgain is the most time between two looks whether a run is due: the last one may
// have failed, and that of another process may have been broken off.
const lookAgain = 10 * time.Minute

// Run runs by schedule until ctx ends. A run is due when the last one of any process
// began Every ago, or did not do all of its work.
func (r *Retention) Run(ctx context.Context) error {
	asked := false
	for {
		wait, err := r.once(ctx, asked)
		if err != nil {
			wait = lookAgain
		}
		if err != nil && ctx.Err() == nil {
			r.logger.WarnContext(ctx, "archiving and pruning failed; it is tried again", "error", err, "retryIn", wait)
		}
		timer := time.NewTimer(min(wait, lookAgain))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-r.now:
			timer.Stop()
			asked = true
		case <-timer.C:
			asked = false
		}
	}
}

// querier is a pool or a session.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// due returns how long to wait for the next run. One that has not ended counts as broken
// off: the lock tells where it goes on in another process.
func (r *Retention) due(ctx context.Context, q querier) (time.Duration, error) {
	var seconds float64
	err := q.QueryRow(ctx, `
		SELECT coalesce((
			SELECT CASE WHEN ended_at IS NOT NULL AND error IS NULL THEN extract(epoch FROM started_at + $1::interval - now()) END
			FROM retention_runs ORDER BY id DESC LIMIT 1), 0)::float8`, r.config.Every).Scan(&seconds)
	if err != nil {
		return 0, fmt.Errorf("look for the last run: %w", err)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// retentionLock is held by the process that runs.
const retentionLock = 0x524c4156 // "RLAV"

// once runs where a run is due or was asked for, unless another process does, and
// returns how long to wait for the next.
func (r *Retention) once(ctx context.Context, asked bool) (wait time.Duration, err error) {
	if wait, err = r.due(ctx, r.pool); err != nil || wait > 0 && !asked {
		return wait, err
	}
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	session := conn.Hijack() // its end ends the lock
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = session.Exec(closing, "SELECT pg_advisory_unlock_all()") // at once
		_ = session.Close(closing)
	}()
	var free bool
	if err := session.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", retentionLock).Scan(&free); err != nil {
		return 0, err
	}
	if !free {
		r.logger.InfoContext(ctx, "another process is archiving and pruning")
		return lookAgain, nil
	}
	// Another process's run may have ended since the first look.
	if wait, err = r.due(ctx, session); err != nil || wait > 0 && !asked {
		return wait, err
	}
	return r.config.Every, r.run(ctx, session)
}

// killed is the error of a run that could not write its own.
const killed = "broken off, since its process was killed; when, is not known: the next run found it"

// run runs, on the session that holds the lock.
func (r *Retention) run(ctx context.Context, session *pgx.Conn) error {
	var id int64
	err := session.QueryRow(ctx, `
		WITH killed AS (UPDATE retention_runs SET ended_at = now(), error = $1 WHERE ended_at IS NULL)
		INSERT INTO retention_runs DEFAULT VALUES RETURNING id`, killed).Scan(&id)
	if err != nil {
		return err
	}
	done, failed := r.work(ctx)
	return errors.Join(failed, r.record(ctx, session, id, done, failed))
}

// retained is what a run has done.
type retained struct {
	Archived
	lag, outbox, poison, answers, handled int64
}

// errBrokenOff is that of a run whose process was told to stop.
var errBrokenOff = errors.New("broken off, since its process was stopping; the next run goes on with it")

// work goes on where a part fails, and returns all that failed.
func (r *Retention) work(ctx context.Context) (done retained, err error) {
	var errs []error
	part := func(age time.Duration, work func() error) {
		if age > 0 && ctx.Err() == nil {
			errs = append(errs, work())
		}
	}
	part(r.config.ArchiveAfter, func() (err error) { done.Archived, err = r.store.Archive(ctx, r.config.ArchiveAfter); return err })
	part(r.config.LagKept, func() (err error) {
		done.lag, err = r.prune(ctx, "event_processing_lag", "created_at", r.config.LagKept)
		return err
	})
	part(r.config.PoisonKept, func() (err error) {
		done.poison, err = r.prune(ctx, "poison_messages", "settled_at", r.config.PoisonKept)
		return err
	})
	part(AnswersKept, func() (err error) { done.answers, err = r.store.ForgetAnswers(ctx); return err })
	part(HandledKept, func() (err error) { done.handled, err = NewHandledEvents(r.pool).Forget(ctx); return err })
	part(1, func() (err error) { done.outbox, err = r.config.PruneOutbox(ctx); return err })
	if ctx.Err() != nil { // parts were left out
		errs = append([]error{errBrokenOff}, errs...)
	}
	return done, errors.Join(errs...)
}

// prune deletes rows by their age, in small transactions.
func (r *Retention) prune(ctx context.Context, table, column string, age time.Duration) (pruned int64, err error) {
	for {
		tag, err := r.pool.Exec(ctx, fmt.Sprintf(`
			DELETE FROM %[1]s WHERE id IN (SELECT id FROM %[1]s WHERE %[2]s < now() - $1::interval ORDER BY %[2]s LIMIT $2)`, table, column),
			age, forgetBatch)
		if err != nil {
			return pruned, fmt.Errorf("prune %s: %w", table, err)
		}
		pruned += tag.RowsAffected()
		if tag.RowsAffected() < forgetBatch {
			return pruned, nil
		}
	}
}

// recordTimeout bounds the record of a run, which is written although the process stops.
const recordTimeout = 5 * time.Second

func (r *Retention) record(ctx context.Context, session *pgx.Conn, id int64, done retained, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	var reason *string
	if failed != nil {
		text := failed.Error()
		reason = &text
	}
	_, err := session.Exec(ctx, `
		UPDATE retention_runs
		SET ended_at = now(), archived_events = $2, held_queues = $3, pruned_lag_rows = $4, pruned_outbox = $5, pruned_poison = $6,
		    forgotten_answers = $7, forgotten_events = $8, error = $9
		WHERE id = $1`, id, done.Events, done.Held, done.lag, done.outbox, done.poison, done.answers, done.handled, reason)
	if err != nil {
		return fmt.Errorf("record what was archived and pruned: %w", err)
	}
	r.logger.InfoContext(ctx, "archived and pruned", "archivedEvents", done.Events, "heldQueues", done.Held, "prunedLagRows", done.lag,
		"prunedOutbox", done.outbox, "prunedPoison", done.poison, "error", failed)
	return nil
}
