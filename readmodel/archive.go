package readmodel

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// archiveLock is shared by rebuilds and kept out by what archives (adapters/postgres):
// a rebuild reads the archive first and the other events afterwards.
const archiveLock = 0x524c4155 // "RLAU"

// readArchived returns the archived ones of the missing events of queues.
func readArchived(ctx context.Context, q querier, queues []string, have, want []int64) ([]schema.Recorded, error) {
	rows, err := q.Query(ctx, selectMissedArchived, queues, have, want)
	if err != nil {
		return nil, err
	}
	return collectArchived(rows)
}

// selectMissedArchived reads the rows of the archive that have events of queues between
// two versions, and collectArchived returns those.
const selectMissedArchived = `
	SELECT aggregate_id, content, gap.have, gap.want FROM archived_events
	JOIN unnest($1::text[], $2::bigint[], $3::bigint[]) AS gap (queue_id, have, want)
	ON aggregate_id = gap.queue_id AND last_version > gap.have AND first_version <= gap.want
	ORDER BY aggregate_id, first_version`

func collectArchived(rows pgx.Rows) (events []schema.Recorded, err error) {
	var (
		queueID    string
		content    []byte
		from, till int64
	)
	_, err = pgx.ForEachRow(rows, []any{&queueID, &content, &from, &till}, func() error {
		all, err := recordedIn(queueID, content)
		for _, e := range all {
			if e.Metadata.Version > from && e.Metadata.Version <= till {
				events = append(events, e)
			}
		}
		return err
	})
	return events, err
}

// recordedIn returns the events of a row of the archive.
func recordedIn(queueID string, content []byte) ([]schema.Recorded, error) {
	archived, err := schema.DecodeArchive(content)
	if err != nil {
		return nil, fmt.Errorf("the archive of queue %q: %w", queueID, err)
	}
	events := make([]schema.Recorded, len(archived))
	for i, a := range archived {
		if events[i], err = recorded(a, queueID); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// recorded reads a stored event. The columns are the truth; a row written by hand may
// have no metadata. Where it returns an error the metadata are as far as they are known.
func recorded(a schema.ArchivedEvent, queueID string) (schema.Recorded, error) {
	r := schema.Recorded{Position: a.Position}
	unreadable := json.Unmarshal(a.Metadata, &r.Metadata)
	r.Metadata.EventID, r.Metadata.AggregateID, r.Metadata.Version = a.EventID, queueID, a.Version
	if r.Metadata.OccurredAt.IsZero() {
		r.Metadata.OccurredAt = a.CreatedAt
	}
	if unreadable != nil {
		return r, fmt.Errorf("metadata of event %s: %w", a.EventID, unreadable)
	}
	var err error
	if r.Event, err = schema.Decode(a.EventName, r.Metadata.SchemaVersion, a.Payload); err != nil {
		return r, fmt.Errorf("event %s at position %d: %w", a.EventID, a.Position, err)
	}
	return r, nil
}
