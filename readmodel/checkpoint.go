package readmodel

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// queueCheckpoints moves the checkpoints of the projections on. All of them have
// now applied the last event of each queue, so its position is known for all by one
// lookup a queue.
func queueCheckpoints(batch *pgx.Batch, applied []Applied) {
	var (
		ids    []string
		counts []int
		last   schema.Recorded
		lasts  = map[string]string{} // the last event's id, by queue
	)
	for _, a := range applied {
		if len(a.Events) == 0 {
			continue
		}
		ids, counts = append(ids, a.Projection.ID), append(counts, len(a.Events))
		for _, e := range a.Events {
			last, lasts[e.Metadata.AggregateID] = e, e.Metadata.EventID
		}
	}
	if len(ids) == 0 {
		return
	}
	batch.Queue(`
		WITH lasts AS MATERIALIZED ( -- else the planner walks down all positions
			SELECT position, event_id, event_name FROM waiting_room_events WHERE event_id = ANY($3::text[]::uuid[])
		), last AS (
			SELECT * FROM lasts ORDER BY position DESC LIMIT 1
		)
		INSERT INTO projection_checkpoints AS c (projection_id, last_event_id, last_event_name, last_position, events_processed, updated_at)
		SELECT p.id, coalesce(last.event_id, $4::uuid), coalesce(last.event_name, $5), coalesce(last.position, 0), p.events, now()
		FROM unnest($1::text[], $2::bigint[]) AS p (id, events) LEFT JOIN last ON true
		ON CONFLICT (projection_id) DO UPDATE
		SET last_event_id = EXCLUDED.last_event_id, last_event_name = EXCLUDED.last_event_name,
		    last_position = greatest(c.last_position, EXCLUDED.last_position),
		    events_processed = c.events_processed + EXCLUDED.events_processed, updated_at = now()`,
		ids, counts, slices.Collect(maps.Values(lasts)), last.Metadata.EventID, last.Event.EventName())
}

// Checkpoint says how far a projection has come.
type Checkpoint struct {
	ProjectionID    string
	LastEventID     *string
	LastEventName   *string
	LastPosition    int64
	EventsProcessed int64
	RebuiltAt       *time.Time
	UpdatedAt       *time.Time
	// Behind is the number of stored events with positions above LastPosition; what the
	// projection lacks below is not counted.
	Behind int64
	// GivenUp is the number of events that the projection gave up after its retries,
	// since its last rebuild, and that still wait for a person or are being replayed.
	GivenUp int64
	// Age is 0 for a projection that is not Behind and has nothing GivenUp. Else it is the
	// longer of how long its checkpoint has stood still while events wait, and how long ago
	// it gave up the first of GivenUp.
	Age time.Duration
}

// Checkpoints returns one checkpoint a projection, in the order of Projections,
// also for those that have not seen an event.
func (s *Store) Checkpoints(ctx context.Context) ([]Checkpoint, error) {
	var ids, handlers []string
	for _, p := range Projections() {
		ids, handlers = append(ids, p.ID), append(handlers, p.HandlerName())
	}
	rows, err := s.pool.Query(ctx, `
		WITH store AS (SELECT coalesce(max(position), 0) AS head FROM waiting_room_events)
		SELECT p.id, c.last_event_id::text, c.last_event_name, coalesce(c.last_position, 0), coalesce(c.events_processed, 0),
		       c.rebuilt_at, c.updated_at, behind.count, given_up.count,
		       greatest(CASE WHEN behind.count > 0 THEN extract(epoch FROM now() - greatest(c.updated_at, behind.oldest)) END,
		                extract(epoch FROM now() - given_up.oldest), 0)::float8
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS p (id, handler, ordinal)
		CROSS JOIN store
		LEFT JOIN projection_checkpoints c ON c.projection_id = p.id
		CROSS JOIN LATERAL (
			SELECT count(*) AS count, min(e.created_at) AS oldest FROM waiting_room_events e
			WHERE e.position > coalesce(c.last_position, 0) AND e.position <= store.head
		) AS behind
		CROSS JOIN LATERAL (
			SELECT count(*) AS count, min(m.created_at) AS oldest FROM poison_messages m
			WHERE m.handler = p.handler AND m.status IN ('WAITING', 'REPLAYING') AND m.created_at > coalesce(c.rebuilt_at, '-infinity')
		) AS given_up
		ORDER BY p.ordinal`, ids, handlers)
	if err != nil {
		return nil, fmt.Errorf("read the checkpoints: %w", err)
	}
	checkpoints, err := pgx.CollectRows(rows, scanCheckpoint)
	if err != nil {
		return nil, fmt.Errorf("read the checkpoints: %w", err)
	}
	return checkpoints, nil
}

// CheckpointOf returns the checkpoint of one projection, or *NotFoundError.
func (s *Store) CheckpointOf(ctx context.Context, projectionID string) (Checkpoint, error) {
	checkpoints, err := s.Checkpoints(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	for _, c := range checkpoints {
		if c.ProjectionID == projectionID {
			return c, nil
		}
	}
	return Checkpoint{}, &NotFoundError{Kind: "projection", ID: projectionID}
}

// Revision tells the states of a projection's views apart: it is another one after every
// event that was applied, and after a rebuild.
func (s *Store) Revision(ctx context.Context, p Projection) (string, error) {
	var revision string
	err := s.pool.QueryRow(ctx, `
		SELECT coalesce((
			SELECT concat_ws('-', events_processed, extract(epoch FROM rebuilt_at)) FROM projection_checkpoints WHERE projection_id = $1
		), '0')`, p.ID).Scan(&revision)
	if err != nil {
		return "", fmt.Errorf("read the revision of projection %q: %w", p.ID, err)
	}
	return revision, nil
}

func scanCheckpoint(row pgx.CollectableRow) (Checkpoint, error) {
	var (
		c       Checkpoint
		seconds float64
	)
	err := row.Scan(&c.ProjectionID, &c.LastEventID, &c.LastEventName, &c.LastPosition, &c.EventsProcessed,
		&c.RebuiltAt, &c.UpdatedAt, &c.Behind, &c.GivenUp, &seconds)
	c.Age = time.Duration(max(0, seconds) * float64(time.Second))
	return c, err
}
