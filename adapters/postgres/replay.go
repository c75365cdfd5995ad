package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
	"github.com/rlapp/rlapp/waitingroom"
)

// Load brings queues up to date, all in one round trip: one that has applied
// events gets the later ones; one at version 0 begins from its snapshot, if there
// is one that this build can read, and else from its first event. A queue without
// events stays at version 0.
//
// It returns the errors of schema.Decode for an event that this build cannot
// read, and pgx's errors where the database fails. The queues are of no use then.
func (s *EventStore) Load(ctx context.Context, queues ...*waitingroom.Queue) error {
	batch := &pgx.Batch{}
	for _, q := range queues {
		if q.Version() == 0 {
			queueReplay(batch, q, selectFromSnapshot, q.ID(), schema.SnapshotVersion)
		} else {
			queueReplay(batch, q, selectLater, q.ID(), q.Version())
		}
	}
	err := s.pool.SendBatch(ctx, batch).Close()
	var gap *gapError                 // a snapshot is gone and the first events are archived
	var damaged *schema.SnapshotError // a snapshot cannot be read
	if errors.As(err, &gap) || errors.As(err, &damaged) {
		return s.loadEach(ctx, queues)
	}
	if err != nil {
		return fmt.Errorf("load %d queues: %w", len(queues), err)
	}
	return nil
}

// gapError says that the next event of a queue is not among the stored ones.
type gapError struct {
	queueID    string
	have, next int64
}

func (e *gapError) Error() string {
	return fmt.Sprintf("queue %q is at version %d and its next stored event at %d", e.queueID, e.have, e.next)
}

// loadEach loads queues one by one from their first events.
func (s *EventStore) loadEach(ctx context.Context, queues []*waitingroom.Queue) error {
	for _, q := range queues {
		if err := s.loadWhole(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// selectLater reads the events behind a version.
const selectLater = `
	SELECT event_name, coalesce((metadata->>'schemaVersion')::int, 0), version, payload::text
	FROM waiting_room_events WHERE aggregate_id = $1 AND version > $2 ORDER BY version`

// selectFromSnapshot reads the snapshot, as a row without an event name, and the
// events behind it; one statement, so that no newer snapshot comes in between.
const selectFromSnapshot = `
	WITH snapshot AS MATERIALIZED (
		SELECT version, state FROM waiting_room_snapshots WHERE aggregate_id = $1 AND schema_version = $2
	)
	SELECT NULL, 0, version, state::text FROM snapshot
	UNION ALL (
		SELECT event_name, coalesce((metadata->>'schemaVersion')::int, 0), version, payload::text
		FROM waiting_room_events
		WHERE aggregate_id = $1 AND version > coalesce((SELECT version FROM snapshot), 0) ORDER BY version
	)`

func queueReplay(batch *pgx.Batch, q *waitingroom.Queue, query string, args ...any) {
	batch.Queue(query, args...).Query(func(rows pgx.Rows) error {
		var (
			name       *string
			wire       int
			version    int64
			jsonObject []byte
		)
		_, err := pgx.ForEachRow(rows, []any{&name, &wire, &version, &jsonObject}, func() error {
			if name == nil {
				return restore(q, version, jsonObject)
			}
			if version != q.Version()+1 {
				return &gapError{queueID: q.ID(), have: q.Version(), next: version}
			}
			return replay(q, *name, wire, jsonObject)
		})
		if err != nil {
			return fmt.Errorf("replay queue %q: %w", q.ID(), err)
		}
		return nil
	})
}

func replay(q *waitingroom.Queue, name string, version int, payload []byte) error {
	event, err := fromStored(name, version, payload)
	if err != nil {
		return err
	}
	q.Apply(event)
	return nil
}

func restore(q *waitingroom.Queue, version int64, state []byte) error {
	wire, err := schema.DecodeSnapshot(state)
	if err != nil {
		return err
	}
	s := waitingroom.Snapshot{
		QueueID: q.ID(), Version: version, MaxCapacity: wire.MaxCapacity, ActiveRooms: wire.ActiveRooms,
		TicketDay: wire.TicketDay, TicketsGiven: wire.TicketsGiven,
	}
	for _, v := range wire.Visits {
		s.Visits = append(s.Visits, visitFromWire(v))
	}
	q.Restore(s)
	return nil
}

// queueSnapshots writes the snapshots of the changes that carry one. An older one
// never replaces a newer.
func queueSnapshots(batch *pgx.Batch, changes []waitingroom.Change) error {
	for _, c := range changes {
		if c.Snapshot == nil {
			continue
		}
		wire := snapshotToWire(*c.Snapshot)
		state, err := schema.EncodeSnapshot(wire)
		if err != nil {
			return err
		}
		batch.Queue(`
			INSERT INTO waiting_room_snapshots AS s (aggregate_id, version, schema_version, state) VALUES ($1, $2, $3, $4)
			ON CONFLICT (aggregate_id) DO UPDATE
			SET version = EXCLUDED.version, schema_version = EXCLUDED.schema_version, state = EXCLUDED.state, created_at = now()
			WHERE s.version < EXCLUDED.version OR s.schema_version < EXCLUDED.schema_version`,
			c.QueueID, c.Snapshot.Version, schema.SnapshotVersion, state)
	}
	return nil
}
