package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// row is one pending row of waiting_room_outbox.
type row struct {
	ID          int64
	EventID     string
	AggregateID string
	EventName   string
	Payload     []byte
	Metadata    []byte
	RetryCount  int
	CreatedAt   time.Time
}

// correlationID is what the row's headers say, for the logs.
func (r *row) correlationID() string {
	var headers map[string]string
	if err := json.Unmarshal(r.Metadata, &headers); err != nil {
		return "" // a row written by hand
	}
	return headers[schema.HeaderCorrelationID]
}

// pendingRows reads the next rows of some lanes in order, leaving out those that
// are in hand, and queues whose earlier event waits for its next attempt or is
// parked.
//
// It keeps no cursor: a transaction that commits late may bring a lower id, and an
// operator may free a row that was passed over, before others of its queue. The rows in
// hand come first in the index, so passing over them is cheap. Their ids are read from
// their text once, which is what the inner SELECT is for; and OFFSET makes a lookup for
// each row of what would be a join with all that is held.
const pendingRows = `
	SELECT id, event_id::text, aggregate_id, event_name, payload::text, metadata::text, retry_count, created_at
	FROM waiting_room_outbox o
	WHERE NOT published AND parked_at IS NULL AND (next_attempt_at IS NULL OR next_attempt_at <= now())
	  AND lane = ANY($1) AND NOT (SELECT $2::text::int8multirange) @> id
	  AND NOT EXISTS (
		SELECT FROM waiting_room_outbox held
		WHERE held.aggregate_id = o.aggregate_id AND held.id < o.id AND NOT held.published
		  AND (held.parked_at IS NOT NULL OR held.next_attempt_at > now())
		OFFSET 0)
	ORDER BY id LIMIT $3`

// read returns the next rows of the lanes, at most a chunk. Those of inHand are
// being published or marked. The pool forbids bitmap scans (adapters/postgres): with
// one it would read and sort all of the backlog for each chunk.
func (s *Subscriber) read(ctx context.Context, lanes []int16, inHand ...[]*row) ([]*row, error) {
	rows, err := s.pool.Query(ctx, pendingRows, lanes, multirange(inHand), s.config.BatchSize)
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	pending, err := pgx.CollectRows(rows, scanRow)
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	return pending, nil
}

func scanRow(rows pgx.CollectableRow) (*row, error) {
	var r row
	return &r, rows.Scan(&r.ID, &r.EventID, &r.AggregateID, &r.EventName, &r.Payload, &r.Metadata, &r.RetryCount, &r.CreatedAt)
}

// multirange writes the ids of rows as PostgreSQL's int8multirange. Ids mostly
// follow one another, so it has few ranges.
func multirange(chunks [][]*row) string {
	var b strings.Builder
	b.WriteByte('{')
	for _, rows := range chunks {
		for i := 0; i < len(rows); {
			first, next := rows[i].ID, rows[i].ID+1
			for i++; i < len(rows) && rows[i].ID == next; i++ {
				next++
			}
			if b.Len() > 1 {
				b.WriteByte(',')
			}
			b.WriteString("[" + strconv.FormatInt(first, 10) + "," + strconv.FormatInt(next, 10) + ")")
		}
	}
	b.WriteByte('}')
	return b.String()
}
