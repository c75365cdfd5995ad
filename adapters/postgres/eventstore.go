package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/schema"
	"github.com/rlapp/rlapp/waitingroom"
)

// EventStoreConfig tunes an EventStore. The zero value is ready for use.
type EventStoreConfig struct {
	// AfterCommit is called after each commit that wrote to the outbox; it must
	// not block. Default: nothing is called.
	AfterCommit func()
	// Outbox writes the outbox rows: an OutboxPublisher, decorated or not.
	// Default: OutboxPublisher{}.
	Outbox message.Publisher
}

// EventStore appends and replays the events of queues. It is safe for
// concurrent use.
type EventStore struct {
	pool   *pgxpool.Pool
	config EventStoreConfig
}

// NewEventStore returns a store over the pool.
func NewEventStore(pool *pgxpool.Pool, config EventStoreConfig) *EventStore {
	if config.AfterCommit == nil {
		config.AfterCommit = func() {}
	}
	if config.Outbox == nil {
		config.Outbox = OutboxPublisher{}
	}
	return &EventStore{pool: pool, config: config}
}

// Load replays a queue. A queue without events comes back at version 0.
//
// It returns the errors of schema.Decode for an event that this build cannot
// read, and pgx's errors where the database fails.
func (s *EventStore) Load(ctx context.Context, queueID string) (*waitingroom.Queue, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT event_name, coalesce((metadata->>'schemaVersion')::int, 0), payload
		FROM waiting_room_events WHERE aggregate_id = $1 ORDER BY version`, queueID)
	if err != nil {
		return nil, fmt.Errorf("read the events of queue %q: %w", queueID, err)
	}
	queue := waitingroom.Replay()
	var (
		name    string
		version int
		payload []byte
	)
	_, err = pgx.ForEachRow(rows, []any{&name, &version, &payload}, func() error {
		wire, err := schema.Decode(name, version, payload)
		if err != nil {
			return err
		}
		event, err := fromWire(wire)
		if err != nil {
			return err
		}
		queue.Apply(event)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("replay queue %q: %w", queueID, err)
	}
	return queue, nil
}

// Append writes events behind version expected of a queue, with their outbox
// and lag rows, in one transaction.
//
// It returns *waitingroom.Error with CodeConflict when the queue is no longer at
// that version; nothing was written then.
func (s *EventStore) Append(
	ctx context.Context, queueID string, expected int64, events []waitingroom.Event, cause waitingroom.Cause,
) (waitingroom.Appended, error) {
	records, err := encode(queueID, expected, events, cause)
	if err != nil {
		return waitingroom.Appended{}, err
	}
	var position int64
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if position, err = insertEvents(ctx, tx, records); err != nil {
			return err
		}
		return publishToOutbox(ctx, tx, s.config.Outbox, records)
	})
	if isVersionTaken(err) {
		return waitingroom.Appended{}, &waitingroom.Error{
			Code:    waitingroom.CodeConflict,
			Message: fmt.Sprintf("queue %q was changed by another request at the same time; send the request again", queueID),
		}
	}
	if err != nil {
		return waitingroom.Appended{}, fmt.Errorf("append %d events to queue %q: %w", len(events), queueID, err)
	}
	s.config.AfterCommit()
	return waitingroom.Appended{EventCount: len(events), Version: expected + int64(len(events)), Position: position}, nil
}

// record is one event ready to be written.
type record struct {
	name     string
	payload  []byte
	metadata schema.Metadata
}

func encode(queueID string, expected int64, events []waitingroom.Event, cause waitingroom.Cause) ([]record, error) {
	records := make([]record, len(events))
	for i, event := range events {
		wire, err := toWire(event)
		if err != nil {
			return nil, err
		}
		payload, err := schema.Encode(wire)
		if err != nil {
			return nil, err
		}
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make an event id: %w", err)
		}
		records[i] = record{name: event.EventName(), payload: payload, metadata: schema.Metadata{
			EventID:        id.String(),
			AggregateID:    queueID,
			Version:        expected + int64(i) + 1,
			OccurredAt:     cause.OccurredAt.UTC(),
			CorrelationID:  cause.CorrelationID,
			CausationID:    cause.CausationID,
			Actor:          cause.Actor,
			IdempotencyKey: cause.IdempotencyKey,
			SchemaVersion:  schema.CurrentVersion(event.EventName()),
		}}
	}
	return records, nil
}

const insertEvent = `
	INSERT INTO waiting_room_events (aggregate_id, version, event_id, event_name, payload, metadata)
	VALUES ($1, $2, $3, $4, $5, $6) RETURNING position`

const insertLag = `
	INSERT INTO event_processing_lag (event_id, event_name, aggregate_id, event_created_at, status)
	VALUES ($1, $2, $3, $4, 'CREATED')`

// insertEvents writes events and lag rows in one round trip.
func insertEvents(ctx context.Context, tx pgx.Tx, records []record) (position int64, err error) {
	batch := &pgx.Batch{}
	for _, r := range records {
		m := r.metadata
		metadata, err := json.Marshal(m)
		if err != nil {
			return 0, fmt.Errorf("encode metadata: %w", err)
		}
		batch.Queue(insertEvent, m.AggregateID, m.Version, m.EventID, r.name, r.payload, metadata).
			QueryRow(func(row pgx.Row) error { return row.Scan(&position) })
		batch.Queue(insertLag, m.EventID, r.name, m.AggregateID, m.OccurredAt)
	}
	err = tx.SendBatch(ctx, batch).Close()
	return position, err
}

const uniqueViolation = "23505"

func isVersionTaken(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == uniqueViolation &&
		pgErr.ConstraintName == "waiting_room_events_aggregate_id_version_key"
}
