package readmodel

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// selectRecorded and scanRecorded read stored events.
const selectRecorded = `SELECT position, event_id::text, aggregate_id, version, event_name, payload, metadata, created_at FROM waiting_room_events `

func scanRecorded(row pgx.CollectableRow) (schema.Recorded, error) {
	stored, queueID, err := scanStored(row)
	if err != nil {
		return schema.Recorded{}, err
	}
	return recorded(stored, queueID)
}

func scanStored(row pgx.CollectableRow) (stored schema.ArchivedEvent, queueID string, err error) {
	err = row.Scan(&stored.Position, &stored.EventID, &queueID, &stored.Version, &stored.EventName, &stored.Payload, &stored.Metadata, &stored.CreatedAt)
	return stored, queueID, err
}

// EventsAfter returns at most limit events of a queue behind a version, oldest
// first. A queue that does not exist has none.
func (s *Store) EventsAfter(ctx context.Context, queueID string, version int64, limit int) ([]schema.Recorded, error) {
	events, err := eventsAfter(ctx, s.pool, queueID, version, limit)
	if err != nil {
		return nil, fmt.Errorf("read the events of queue %q: %w", queueID, err)
	}
	return events, nil
}

func eventsAfter(ctx context.Context, q querier, queueID string, version int64, limit int) ([]schema.Recorded, error) {
	rows, err := q.Query(ctx, selectRecorded+`WHERE aggregate_id = $1 AND version > $2 ORDER BY version LIMIT $3`,
		queueID, version, limit)
	if err != nil {
		return nil, err
	}
	events, err := pgx.CollectRows(rows, scanRecorded)
	if err != nil || len(events) == 0 || events[0].Metadata.Version == version+1 {
		return events, err
	}
	// What comes before has been archived.
	until := min(version+int64(limit), events[0].Metadata.Version-1)
	archived, err := readArchived(ctx, q, []string{queueID}, []int64{version}, []int64{until})
	if err != nil {
		return nil, err
	}
	events = append(archived, events...)
	return events[:min(limit, len(events))], nil
}
