package readmodel

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

const (
	// rebuildLockClass tells the locks of whole rebuilds from those of their ends.
	rebuildLockClass = projectionLockClass + 1
	// rebuildBatch is the number of events that a rebuild applies in one round
	// trip, and so what bounds its memory.
	rebuildBatch = 5000
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
// ones, and then lets them take their place. Live events go on meanwhile; only the
// end, which runs after the events of the last moment, keeps those of this
// projection waiting, with *RebuildingError. It is one transaction: readers see the
// old rows until it commits, and nothing changes if it fails. Grants go over to the
// new tables, triggers do not.
//
// It takes two connections, and memory for rebuildBatch events times GOMAXPROCS and
// three, and for one version a queue, however many events there are. progress, if not nil, is told
// after each batch how far it has come.
//
// It returns the number of events, *RebuildRunningError where another process is
// rebuilding the projection, and the errors of schema.Decode for an event that this
// build cannot read.
func (s *Store) Rebuild(ctx context.Context, p Projection, progress func(Progress)) (events int64, err error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		r := &rebuild{projection: p, tx: tx, reached: map[string]int64{}, progress: progress}
		err := r.run(ctx, s)
		events = r.done.Events
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("rebuild %s: %w", p.ID, err)
	}
	return events, nil
}

// rebuild is one rebuild in its transaction.
type rebuild struct {
	projection Projection
	tx         pgx.Tx
	aside      aside
	reached    map[string]int64 // the last version applied, by queue
	last       int64            // the highest position applied
	done       Progress
	progress   func(Progress)
}

func (r *rebuild) run(ctx context.Context, s *Store) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	if err := s.replayAll(ctx, r.apply); err != nil {
		return err
	}
	if err := r.aside.finish(ctx, r.tx); err != nil {
		return err
	}
	for range catchUpRounds {
		caught, err := r.catchUp(ctx)
		if err != nil {
			return err
		}
		if caught <= catchUpEnough {
			break
		}
	}
	return r.takeOver(ctx)
}

func (r *rebuild) begin(ctx context.Context) error {
	var free bool
	err := r.tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1, hashtext($2))", rebuildLockClass, r.projection.ID).Scan(&free)
	if err != nil {
		return err
	}
	if !free {
		return &RebuildRunningError{ProjectionID: r.projection.ID}
	}
	if err := r.tx.QueryRow(ctx, "SELECT coalesce(max(position), 0) FROM waiting_room_events").Scan(&r.done.Total); err != nil {
		return err
	}
	r.aside, err = setAside(ctx, r.tx, r.projection)
	return err
}

// apply applies events that are the next of their queues.
func (r *rebuild) apply(ctx context.Context, events []schema.Recorded) error {
	batch := &pgx.Batch{}
	r.projection.apply(batch, events)
	for _, e := range events {
		r.reached[e.Metadata.AggregateID] = max(r.reached[e.Metadata.AggregateID], e.Metadata.Version)
		r.last = max(r.last, e.Position)
	}
	if err := r.tx.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	r.done.Events += int64(len(events))
	r.done.Total = max(r.done.Total, r.done.Events)
	r.progress(r.done)
	return nil
}

// takeOver keeps live events of the projection out, applies what has come meanwhile
// and swaps the tables.
func (r *rebuild) takeOver(ctx context.Context) error {
	if _, err := r.tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1, hashtext($2))", projectionLockClass, r.projection.ID); err != nil {
		return err
	}
	if _, err := r.catchUp(ctx); err != nil {
		return err
	}
	if err := r.aside.swap(ctx, r.tx); err != nil {
		return err
	}
	return r.setVersions(ctx)
}

// catchUp applies the events that the live projection has applied and the rebuilt
// one has not, and returns how many there were. Events that neither has will come.
func (r *rebuild) catchUp(ctx context.Context) (caught int64, err error) {
	before := r.done.Events
	rows, err := r.tx.Query(ctx, `SELECT aggregate_id, (versions ->> $1)::bigint FROM projection_queue_versions WHERE versions ? $1`, r.projection.ID)
	if err != nil {
		return 0, err
	}
	var (
		queues     []string
		have, want []int64
		queueID    string
		live       int64
	)
	_, err = pgx.ForEachRow(rows, []any{&queueID, &live}, func() error {
		if reached := r.reached[queueID]; live > reached {
			queues, have, want = append(queues, queueID), append(have, reached), append(want, live)
		}
		return nil
	})
	if err != nil || len(queues) == 0 {
		return 0, err
	}
	_, err = r.tx.Exec(ctx, "DECLARE missed NO SCROLL CURSOR FOR "+selectRecorded+`
		JOIN unnest($1::text[], $2::bigint[], $3::bigint[]) AS gap (queue_id, have, want)
		ON aggregate_id = gap.queue_id AND version > gap.have AND version <= gap.want ORDER BY aggregate_id, version`, queues, have, want)
	if err != nil {
		return 0, err
	}
	for {
		events, err := r.fetchMissed(ctx)
		if err != nil {
			return 0, err
		}
		if len(events) == 0 {
			_, err := r.tx.Exec(ctx, "CLOSE missed")
			return r.done.Events - before, err
		}
		if err := r.apply(ctx, events); err != nil {
			return 0, err
		}
	}
}

func (r *rebuild) fetchMissed(ctx context.Context) ([]schema.Recorded, error) {
	rows, err := r.tx.Query(ctx, fmt.Sprintf("FETCH %d FROM missed", rebuildBatch))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanRecorded)
}

// setVersions writes how far the rebuilt tables have come. It locks the rows of all
// queues in the order that live events lock theirs in.
func (r *rebuild) setVersions(ctx context.Context) error {
	batch := &pgx.Batch{}
	batch.Queue("SELECT count(*) FROM (SELECT FROM projection_queue_versions ORDER BY aggregate_id FOR UPDATE) AS locked")
	batch.Queue("UPDATE projection_queue_versions SET versions = versions - $1 WHERE versions ? $1", r.projection.ID)
	all := make(versions, len(r.reached))
	for queueID, version := range r.reached {
		all[queueID] = map[string]int64{r.projection.ID: version}
	}
	all.queue(batch)
	batch.Queue(`
		INSERT INTO projection_checkpoints (projection_id, last_event_id, last_event_name, last_position, events_processed, rebuilt_at, updated_at)
		SELECT $1, e.event_id, e.event_name, $2, $3, now(), now()
		FROM (SELECT) AS one LEFT JOIN waiting_room_events e ON e.position = $2
		ON CONFLICT (projection_id) DO UPDATE
		SET last_event_id = EXCLUDED.last_event_id, last_event_name = EXCLUDED.last_event_name,
		    last_position = EXCLUDED.last_position, events_processed = EXCLUDED.events_processed,
		    rebuilt_at = now(), updated_at = now()`, r.projection.ID, r.last, r.done.Events)
	return r.tx.SendBatch(ctx, batch).Close()
}
