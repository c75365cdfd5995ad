package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
	"github.com/rlapp/rlapp/waitingroom"
)

// Archived is what a run has archived.
type Archived struct {
	Events int64
	// Held are the queues of which old events stayed, since a visit that began among
	// them has not ended.
	Held int64
}

// ErrArchiveBusy says that a rebuild reads the events, so none were archived.
var ErrArchiveBusy = errors.New("a rebuild is reading the events; they are archived later")

// archiveBatch is the most events of one row of archived_events, and of a transaction.
const archiveBatch = 1000

// Archive moves the old events of finished visits into archived_events, from where
// replays still read them: of each queue its first events, up to the first that is
// younger than age, the first of a visit that has not ended, or the newest. It works
// in small transactions and may be broken off at any time.
//
// It returns ErrArchiveBusy where a rebuild began meanwhile, with what was archived
// until then.
func (s *EventStore) Archive(ctx context.Context, age time.Duration) (done Archived, err error) {
	queueIDs, err := s.oldQueues(ctx, age)
	if err != nil {
		return done, fmt.Errorf("look for old events: %w", err)
	}
	for _, id := range queueIDs {
		last, held, err := s.archivable(ctx, id, age)
		if err != nil {
			return done, fmt.Errorf("look for the old events of queue %q: %w", id, err)
		}
		if held {
			done.Held++
		}
		for more := last > 0; more; {
			var n int64
			if n, err = s.archiveBlock(ctx, id, last); err != nil {
				return done, fmt.Errorf("archive queue %q: %w", id, err)
			}
			done.Events += n
			more = n == archiveBatch
		}
	}
	return done, nil
}

// oldQueues returns the queues with events before the first one that is young. Positions
// follow the time but for moments, and the look ends there.
func (s *EventStore) oldQueues(ctx context.Context, age time.Duration) ([]string, error) {
	rows, err := s.pool.Query(ctx, `
		WITH young AS MATERIALIZED (
			SELECT position FROM waiting_room_events WHERE created_at >= now() - $1::interval ORDER BY position LIMIT 1
		)
		SELECT DISTINCT aggregate_id FROM waiting_room_events
		WHERE position < coalesce((SELECT position FROM young), 9223372036854775807) ORDER BY 1`, age)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// archivable returns the last version of a queue that can go, 0 for none, and whether
// a visit that has not ended keeps later ones.
func (s *EventStore) archivable(ctx context.Context, queueID string, age time.Duration) (last int64, held bool, err error) {
	err = s.pool.QueryRow(ctx, `
		WITH visits AS (
			SELECT max(version) FILTER (WHERE event_name = 'PatientCheckedIn') AS began,
			       max(version) FILTER (WHERE event_name IN ('PatientAttentionCompleted', 'PatientCancelledByPayment', 'PatientCancelledByAbsence')) AS ended
			FROM waiting_room_events WHERE aggregate_id = $1 AND payload ? 'patientId' GROUP BY payload ->> 'patientId'
		), open AS (
			SELECT min(began) AS version FROM visits WHERE began > coalesce(ended, 0)
		), old AS (
			SELECT least(coalesce(min(version) FILTER (WHERE created_at >= now() - $2::interval) - 1, max(version)), max(version) - 1) AS version
			FROM waiting_room_events WHERE aggregate_id = $1
		)
		SELECT greatest(least(old.version, open.version - 1), 0), coalesce(open.version <= old.version, false) FROM old, open`,
		queueID, age).Scan(&last, &held)
	return last, held, err
}

// archiveLock is held by what archives, exclusively, and by rebuilds, which share it
// (readmodel): a rebuild reads the archive first and the other events afterwards.
const archiveLock = 0x524c4155 // "RLAU"

// archiveBlock moves the next events of a queue, through a version at most.
func (s *EventStore) archiveBlock(ctx context.Context, queueID string, last int64) (n int64, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var free bool
		if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", archiveLock).Scan(&free); err != nil {
			return err
		}
		if !free {
			return ErrArchiveBusy
		}
		rows, err := tx.Query(ctx, `
			DELETE FROM waiting_room_events WHERE aggregate_id = $1 AND version <= $2 AND version IN (
				SELECT version FROM waiting_room_events WHERE aggregate_id = $1 AND version <= $2 ORDER BY version LIMIT $3)
			RETURNING position, version, event_id::text, event_name, payload, metadata, created_at`, queueID, last, archiveBatch)
		if err != nil {
			return err
		}
		events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[schema.ArchivedEvent])
		if err != nil || len(events) == 0 {
			return err
		}
		n = int64(len(events))
		return insertArchived(ctx, tx, queueID, events)
	})
	return n, err
}

func insertArchived(ctx context.Context, tx pgx.Tx, queueID string, events []schema.ArchivedEvent) error {
	slices.SortFunc(events, func(a, b schema.ArchivedEvent) int { return cmp.Compare(a.Version, b.Version) })
	content, err := schema.EncodeArchive(events)
	if err != nil {
		return err
	}
	first, last := events[0], events[len(events)-1]
	_, err = tx.Exec(ctx, `
		INSERT INTO archived_events (aggregate_id, first_version, last_version, last_created_at, content) VALUES ($1, $2, $3, $4, $5)`,
		queueID, first.Version, last.Version, last.CreatedAt, content)
	return err
}

// loadWhole loads a queue from its first event, out of the archive and the store.
func (s *EventStore) loadWhole(ctx context.Context, q *waitingroom.Queue) error {
	q.Restore(waitingroom.Snapshot{QueueID: q.ID()})
	rows, err := s.pool.Query(ctx, "SELECT content FROM archived_events WHERE aggregate_id = $1 ORDER BY first_version", q.ID())
	if err != nil {
		return fmt.Errorf("read the archive of queue %q: %w", q.ID(), err)
	}
	var content []byte
	_, err = pgx.ForEachRow(rows, []any{&content}, func() error { return replayArchived(q, content) })
	if err != nil {
		return fmt.Errorf("replay the archive of queue %q: %w", q.ID(), err)
	}
	batch := &pgx.Batch{}
	queueReplay(batch, q, selectLater, q.ID(), q.Version())
	return s.pool.SendBatch(ctx, batch).Close()
}

func replayArchived(q *waitingroom.Queue, content []byte) error {
	events, err := schema.DecodeArchive(content)
	if err != nil {
		return err
	}
	for _, e := range events {
		var m schema.Metadata
		if err := json.Unmarshal(e.Metadata, &m); err != nil {
			return fmt.Errorf("metadata of event %s: %w", e.EventID, err)
		}
		if err := replay(q, e.EventName, m.SchemaVersion, e.Payload); err != nil {
			return err
		}
	}
	return nil
}
