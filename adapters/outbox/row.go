package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"

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

	// Known once the row was made into a message.
	publishedAt   time.Time
	createdAt     time.Time
	correlationID string
	took          time.Duration
}

// pendingRows reads the next rows in order, leaving out queues whose earlier
// event waits for its next attempt or is parked.
//
// It keeps no cursor: a transaction that commits late may bring a lower id.
const pendingRows = `
	SELECT id, event_id::text, aggregate_id, event_name, payload, metadata, retry_count
	FROM waiting_room_outbox o
	WHERE NOT published AND parked_at IS NULL AND (next_attempt_at IS NULL OR next_attempt_at <= now())
	  AND NOT EXISTS (
		SELECT FROM waiting_room_outbox held
		WHERE held.aggregate_id = o.aggregate_id AND held.id < o.id AND NOT held.published
		  AND (held.parked_at IS NOT NULL OR held.next_attempt_at > now()))
	ORDER BY id LIMIT $1`

func (s *Subscriber) read(ctx context.Context) ([]*row, error) {
	rows, err := s.pool.Query(ctx, pendingRows, s.config.BatchSize)
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	pending, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*row, error) {
		var p row
		return &p, r.Scan(&p.ID, &p.EventID, &p.AggregateID, &p.EventName, &p.Payload, &p.Metadata, &p.RetryCount)
	})
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	return pending, nil
}

// envelope is the form in which Watermill's forwarder takes a message.
type envelope struct {
	DestinationTopic string            `json:"destination_topic"`
	UUID             string            `json:"uuid"`
	Payload          []byte            `json:"payload"`
	Metadata         map[string]string `json:"metadata"`
}

var _ forwarder.Marshaler = forwarder.DefaultMarshaler{} // reads what message writes

// message wraps the row for the forwarder and stamps the moment of publication.
func (r *row) message(destination string, now time.Time) (*message.Message, error) {
	r.publishedAt = now
	headers := map[string]string{}
	if err := json.Unmarshal(r.Metadata, &headers); err != nil {
		headers = map[string]string{} // a row written by hand; the columns say enough to route it
	}
	headers[schema.HeaderEventName] = r.EventName
	headers[schema.HeaderAggregateID] = r.AggregateID
	headers[schema.HeaderPublishedAt] = now.UTC().Format(time.RFC3339Nano)
	wrapped, err := json.Marshal(envelope{DestinationTopic: destination, UUID: r.EventID, Payload: r.Payload, Metadata: headers})
	if err != nil {
		return nil, fmt.Errorf("wrap outbox row %d: %w", r.ID, err)
	}
	r.correlationID = headers[schema.HeaderCorrelationID]
	if occurred, err := time.Parse(time.RFC3339Nano, headers[schema.HeaderOccurredAt]); err == nil {
		r.createdAt = occurred
	}
	return message.NewMessage(r.EventID, wrapped), nil
}
