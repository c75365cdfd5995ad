package readmodel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

const (
	// rebuildLockClass tells the locks of whole rebuilds from those of their ends.
	rebuildLockClass = projectionLockClass + 1
	// rebuildBatch is the number of events that a rebuild reads and decodes at a time.
	rebuildBatch = 5000
	// commitAfter is the number of events of one transaction: what a killed rebuild has
	// to do again.
	commitAfter = 4 * rebuildBatch
	// catchUpRounds bounds how often a rebuild runs after the live events before it
	// stops them, and catchUpEnough is how few may be left then.
	catchUpRounds, catchUpEnough = 10, 200
)

// Progress is how far a rebuild has come.
type Progress struct {
	// Events is the number of events applied so far.
	Events int64
	// Total is about how many there are, at most: positions have gaps.
	Total int64
}

// Rebuild makes a projection's tables anew from all stored events, beside the live
// ones, compares them with those at one position, and then lets them take their place;
// the old ones are kept for RollBack. Live events go on meanwhile; only two moments,
// each after the events of the last moment before, keep those of this projection
// waiting, with *RebuildingError. Readers see the old rows until the new ones are
// there. Grants go over to the new tables, triggers do not.
//
// A rebuild that was killed goes on where it was, in the same build of the program.
// One that fails leaves the live tables as they are.
//
// It takes two connections, and memory for commitAfter events, for rebuildBatch times
// GOMAXPROCS and three, and for one version a queue, however many events there are. progress, if not
// nil, is told after each batch how far it has come.
//
// It returns the number of events, *RebuildRunningError where another process is
// rebuilding the projection, *DependentViewError, and the errors of schema.Decode for
// an event that this build cannot read.
func (s *Store) Rebuild(ctx context.Context, p Projection, progress func(Progress)) (events int64, err error) {
	events, err = s.rebuild(ctx, p, progress, (*rebuild).begin)
	if err != nil {
		return 0, fmt.Errorf("rebuild %s: %w", p.ID, err)
	}
	return events, nil
}

// RollBack lets the tables that the last rebuild replaced, brought up to date, take
// their place again. Those that they replace are kept in turn. It returns
// *NotFoundError where none are kept, *PreviousError where a migration has changed the
// tables since, and otherwise the errors of Rebuild.
func (s *Store) RollBack(ctx context.Context, p Projection, progress func(Progress)) error {
	if _, err := s.rebuild(ctx, p, progress, (*rebuild).beginRollBack); err != nil {
		return fmt.Errorf("roll back %s: %w", p.ID, err)
	}
	return nil
}

// rebuild is one rebuild, on a session of its own: that holds its lock, and looks for
// tables in the schema aside first.
type rebuild struct {
	store      *Store
	projection Projection
	session    *pgx.Conn
	aside      aside
	status     string
	rollback   bool
	place      place            // through which the replay has come
	last       int64            // the highest position applied
	reached    map[string]int64 // the last version applied, by queue
	changed    map[string]bool  // the queues of reached that are not stored yet
	done       Progress
	progress   func(Progress)
}

func (s *Store) rebuild(
	ctx context.Context, p Projection, progress func(Progress), begin func(*rebuild, context.Context) error,
) (events int64, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	r := &rebuild{store: s, projection: p, session: conn.Hijack(), changed: map[string]bool{}, progress: progress}
	defer closeSession(r.session)
	if r.progress == nil {
		r.progress = func(Progress) {}
	}
	if err := r.lock(ctx); err != nil {
		return 0, err
	}
	if err := begin(r, ctx); err != nil {
		return 0, r.failed(ctx, err)
	}
	if err := r.run(ctx); err != nil {
		return 0, r.failed(ctx, err)
	}
	return r.done.Events, nil
}

// closeSession ends a session and gives its locks free: the server notices the end of
// the connection a moment later.
func closeSession(session *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = session.Exec(ctx, "ROLLBACK; SELECT pg_advisory_unlock_all()")
	_ = session.Close(ctx)
}

func (r *rebuild) lock(ctx context.Context) error {
	var free bool
	err := r.session.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, hashtext($2))", rebuildLockClass, r.projection.ID).Scan(&free)
	if err != nil {
		return err
	}
	if !free {
		return &RebuildRunningError{ProjectionID: r.projection.ID}
	}
	if _, err := r.session.Exec(ctx, "SELECT pg_advisory_lock_shared($1)", archiveLock); err != nil {
		return err
	}
	// A crash may undo the last batches of a rebuild; its end is flushed.
	_, err = r.session.Exec(ctx, "SET synchronous_commit = off")
	return err
}

func (r *rebuild) run(ctx context.Context) error {
	if r.status == rebuildReplaying {
		if err := r.replay(ctx); err != nil {
			return err
		}
		if err := r.finish(ctx); err != nil {
			return err
		}
	}
	if err := r.runAfter(ctx); err != nil {
		return err
	}
	differences, err := r.compare(ctx)
	if err != nil {
		return err
	}
	if err := r.runAfter(ctx); err != nil {
		return err
	}
	return r.takeOver(ctx, differences)
}

// replay applies all stored events behind the position, in transactions of commitAfter
// events: a row that many of them change is written once a transaction.
func (r *rebuild) replay(ctx context.Context) error {
	var pending []schema.Recorded
	apply := func(ctx context.Context) error {
		if _, err := r.session.Exec(ctx, "BEGIN"); err != nil {
			return err
		}
		if err := r.apply(ctx, pending); err != nil {
			return err
		}
		pending = pending[:0]
		return r.commit(ctx)
	}
	err := r.store.replayAll(ctx, r.place, func(ctx context.Context, events []schema.Recorded, through place) error {
		pending = append(pending, events...)
		r.place = place{max(r.place.archive, through.archive), max(r.place.position, through.position)}
		if len(pending) < commitAfter {
			return nil
		}
		return apply(ctx)
	})
	if err != nil || len(pending) == 0 {
		return err
	}
	return apply(ctx)
}

// apply applies those of the events that are the next of their queues. After a gap,
// which a late commit leaves, the rest of a queue is left to catchUp.
func (r *rebuild) apply(ctx context.Context, events []schema.Recorded) error {
	var next []schema.Recorded
	for _, e := range events {
		r.last = max(r.last, e.Position)
		if queueID := e.Metadata.AggregateID; e.Metadata.Version == r.reached[queueID]+1 {
			r.reached[queueID], r.changed[queueID] = e.Metadata.Version, true
			next = append(next, e)
		}
	}
	batch := &pgx.Batch{}
	r.projection.apply(batch, next)
	if err := r.session.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	r.done.Events += int64(len(next))
	r.done.Total = max(r.done.Total, r.done.Events)
	r.progress(r.done)
	return nil
}

// commit notes in the transaction how far it has come, and ends it.
func (r *rebuild) commit(ctx context.Context) error {
	var versions []int64
	queueIDs := slices.Sorted(maps.Keys(r.changed))
	for _, id := range queueIDs {
		versions = append(versions, r.reached[id])
	}
	clear(r.changed)
	batch := &pgx.Batch{}
	r.aside.queueVersions(batch, queueIDs, versions)
	batch.Queue(`UPDATE projection_rebuilds SET applied_archive = $2, applied_position = $3, events = $4, updated_at = now() WHERE projection_id = $1`,
		r.projection.ID, r.place.archive, r.place.position, r.done.Events)
	batch.Queue("COMMIT")
	return r.session.SendBatch(ctx, batch).Close()
}

// finish makes the replayed tables what the live ones are.
func (r *rebuild) finish(ctx context.Context) error {
	return pgx.BeginFunc(ctx, r.session, func(tx pgx.Tx) error {
		if err := r.aside.finish(ctx, tx); err != nil {
			return err
		}
		return r.setStatus(ctx, tx, rebuildCatchingUp)
	})
}

// runAfter runs after the live events until few are left.
func (r *rebuild) runAfter(ctx context.Context) error {
	for range catchUpRounds {
		caught, err := r.catchUp(ctx)
		if err != nil {
			return err
		}
		if caught <= catchUpEnough {
			return nil
		}
	}
	return nil
}

// catchUp applies, in one transaction, the events that the live projection has applied
// and the rebuilt one has not, and returns how many there were. Events that neither
// has will come.
func (r *rebuild) catchUp(ctx context.Context) (caught int64, err error) {
	if _, err := r.session.Exec(ctx, "BEGIN"); err != nil {
		return 0, err
	}
	if caught, err = r.applyMissed(ctx); err != nil {
		return 0, err
	}
	return caught, r.commit(ctx)
}

func (r *rebuild) applyMissed(ctx context.Context) (caught int64, err error) {
	before := r.done.Events
	queues, have, want, err := r.missed(ctx)
	if err != nil || len(queues) == 0 {
		return 0, err
	}
	err = r.applyFetched(ctx, selectMissedArchived, 1, collectArchived, queues, have, want)
	if err != nil {
		return 0, err
	}
	err = r.applyFetched(ctx, selectMissed, rebuildBatch, collectRecorded, queues, have, want)
	if err != nil {
		return 0, err
	}
	for i, queueID := range queues {
		if reached := r.reached[queueID]; reached < want[i] {
			return 0, &GapError{QueueID: queueID, Have: reached, Want: want[i]}
		}
	}
	return r.done.Events - before, nil
}

// selectMissed reads the stored events of queues between two versions.
const selectMissed = selectRecorded + `
	JOIN unnest($1::text[], $2::bigint[], $3::bigint[]) AS gap (queue_id, have, want)
	ON aggregate_id = gap.queue_id AND version > gap.have AND version <= gap.want ORDER BY aggregate_id, version`

func collectRecorded(rows pgx.Rows) ([]schema.Recorded, error) {
	return pgx.CollectRows(rows, scanRecorded)
}

// applyFetched applies what a query selects, so many rows at a time.
func (r *rebuild) applyFetched(
	ctx context.Context, query string, rows int, collect func(pgx.Rows) ([]schema.Recorded, error), args ...any,
) error {
	if _, err := r.session.Exec(ctx, "DECLARE missed NO SCROLL CURSOR FOR "+query, args...); err != nil {
		return err
	}
	for {
		fetched, err := r.session.Query(ctx, fmt.Sprintf("FETCH %d FROM missed", rows))
		if err != nil {
			return err
		}
		events, err := collect(fetched)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			_, err := r.session.Exec(ctx, "CLOSE missed")
			return err
		}
		if err := r.apply(ctx, events); err != nil {
			return err
		}
	}
}

// missed returns the queues of which the live projection has more.
func (r *rebuild) missed(ctx context.Context) (queues []string, have, want []int64, err error) {
	rows, err := r.session.Query(ctx, `SELECT aggregate_id, (versions ->> $1)::bigint FROM projection_queue_versions WHERE versions ? $1`, r.projection.ID)
	if err != nil {
		return nil, nil, nil, err
	}
	var (
		queueID string
		live    int64
	)
	_, err = pgx.ForEachRow(rows, []any{&queueID, &live}, func() error {
		if reached := r.reached[queueID]; live > reached {
			queues, have, want = append(queues, queueID), append(have, reached), append(want, live)
		}
		return nil
	})
	return queues, have, want, err
}

// failed gives the rebuild up, unless it was broken off, or lost a deadlock: then it goes
// on later. It returns the error.
func (r *rebuild) failed(ctx context.Context, err error) error {
	var running *RebuildRunningError
	if ctx.Err() != nil || Passing(err) || errors.As(err, &running) {
		return err
	}
	_, rollbackErr := r.session.Exec(ctx, "ROLLBACK")
	return errors.Join(err, rollbackErr, r.giveUp(ctx, err))
}
