package readmodel

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// selectRecorded and scanRecorded read stored events.
const selectRecorded = `SELECT position, event_id::text, aggregate_id, version, event_name, payload, metadata, created_at FROM waiting_room_events `

func scanRecorded(row pgx.CollectableRow) (schema.Recorded, error) {
	var (
		r                 schema.Recorded
		eventID, queueID  string
		version           int64
		name              string
		payload, metadata []byte
		createdAt         time.Time
	)
	if err := row.Scan(&r.Position, &eventID, &queueID, &version, &name, &payload, &metadata, &createdAt); err != nil {
		return r, err
	}
	if err := json.Unmarshal(metadata, &r.Metadata); err != nil {
		return r, fmt.Errorf("metadata of event %s: %w", eventID, err)
	}
	// The columns are the truth; a row written by hand may have no metadata.
	r.Metadata.EventID, r.Metadata.AggregateID, r.Metadata.Version = eventID, queueID, version
	if r.Metadata.OccurredAt.IsZero() {
		r.Metadata.OccurredAt = createdAt
	}
	event, err := schema.Decode(name, r.Metadata.SchemaVersion, payload)
	if err != nil {
		return r, fmt.Errorf("event %s at position %d: %w", eventID, r.Position, err)
	}
	r.Event = event
	return r, nil
}

// EventsAfter returns at most limit events of a queue behind a version, oldest
// first. A queue that does not exist has none.
func (s *Store) EventsAfter(ctx context.Context, queueID string, version int64, limit int) ([]schema.Recorded, error) {
	rows, err := s.pool.Query(ctx, selectRecorded+`WHERE aggregate_id = $1 AND version > $2 ORDER BY version LIMIT $3`,
		queueID, version, limit)
	if err != nil {
		return nil, fmt.Errorf("read the events of queue %q: %w", queueID, err)
	}
	events, err := pgx.CollectRows(rows, scanRecorded)
	if err != nil {
		return nil, fmt.Errorf("read the events of queue %q: %w", queueID, err)
	}
	return events, nil
}
