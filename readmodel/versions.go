package readmodel

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// versions are the last versions of queues that projections have applied: by queue,
// then by projection id. What is missing is 0.
type versions map[string]map[string]int64

// lowest is the version of a queue that all of the projections have applied.
func (v versions) lowest(queueID string, projections []Projection) int64 {
	of := v[queueID]
	low := of[projections[0].ID]
	for _, p := range projections[1:] {
		low = min(low, of[p.ID])
	}
	return low
}

// fresh returns the events that a projection has not applied. It returns the given
// slice itself where that is all of them.
func (v versions) fresh(p Projection, events []schema.Recorded) []schema.Recorded {
	old := func(e schema.Recorded) bool { return e.Metadata.Version <= v[e.Metadata.AggregateID][p.ID] }
	if !slices.ContainsFunc(events, old) {
		return events
	}
	return slices.DeleteFunc(slices.Clone(events), old)
}

// projectionLockClass keeps our advisory locks clear of other programs'.
const projectionLockClass = 0x524c4152 // "RLAR"

// sender is a session, of the pool or not.
type sender interface {
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// lockVersions begins a transaction and returns the versions of queues, whose rows
// it locks in the order of their ids, so that transactions wait for each other and
// never in a circle. It returns *RebuildingError for a projection whose rebuild
// ends right now.
func lockVersions(ctx context.Context, conn sender, queueIDs []string, projections []Projection) (versions, error) {
	ids := make([]string, len(projections))
	for i, p := range projections {
		ids[i] = p.ID
	}
	found := make(versions, len(queueIDs))
	var rebuilding error
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue("SELECT id, pg_try_advisory_xact_lock_shared($1, hashtext(id)) FROM unnest($2::text[]) AS p (id)", projectionLockClass, ids).
		Query(func(rows pgx.Rows) (err error) {
			rebuilding, err = firstLocked(rows)
			return err
		})
	batch.Queue("SELECT aggregate_id, versions FROM projection_queue_versions WHERE aggregate_id = ANY($1) ORDER BY aggregate_id FOR UPDATE", queueIDs).
		Query(found.scan)
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return nil, err
	}
	return found, rebuilding
}

// firstLocked returns *RebuildingError for the first projection that is locked.
func firstLocked(rows pgx.Rows) (locked error, err error) {
	for rows.Next() {
		var (
			id   string
			free bool
		)
		if err := rows.Scan(&id, &free); err != nil {
			return nil, err
		}
		if !free && locked == nil {
			locked = &RebuildingError{ProjectionID: id}
		}
	}
	return locked, rows.Err()
}

func (v versions) scan(rows pgx.Rows) error {
	for rows.Next() {
		var (
			queueID string
			raw     []byte
			of      map[string]int64
		)
		if err := rows.Scan(&queueID, &raw); err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &of); err != nil {
			return fmt.Errorf("the versions of queue %q: %w", queueID, err)
		}
		v[queueID] = of
	}
	return rows.Err()
}

// queueVersions writes down what the projections have applied.
func queueVersions(b *pgx.Batch, applied []Applied) {
	reached := versions{}
	for _, a := range applied {
		for i, e := range a.Events {
			m := e.Metadata
			if i+1 < len(a.Events) && a.Events[i+1].Metadata.AggregateID == m.AggregateID {
				continue // not the queue's last
			}
			if reached[m.AggregateID] == nil {
				reached[m.AggregateID] = make(map[string]int64, len(applied))
			}
			reached[m.AggregateID][a.Projection.ID] = m.Version
		}
	}
	reached.queue(b)
}

// queue merges the versions into the rows of their queues, in the order of their ids.
func (v versions) queue(b *pgx.Batch) {
	if len(v) == 0 {
		return
	}
	queueIDs, rows := make([]string, 0, len(v)), make([]string, 0, len(v))
	for id := range v {
		queueIDs = append(queueIDs, id)
	}
	slices.Sort(queueIDs)
	for _, id := range queueIDs {
		raw, _ := json.Marshal(v[id]) // a map of integers
		rows = append(rows, string(raw))
	}
	b.Queue(`
		INSERT INTO projection_queue_versions AS v (aggregate_id, versions)
		SELECT * FROM unnest($1::text[], $2::text[]::jsonb[])
		ON CONFLICT (aggregate_id) DO UPDATE SET versions = v.versions || EXCLUDED.versions`, queueIDs, rows)
}
