package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

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

// Append writes the events of all changes, with their outbox and lag rows, answers
// and snapshots, in one transaction and one round trip, and answers in the order of
// the changes. Changes of one queue follow each other's versions.
//
// It returns *waitingroom.Error with CodeConflict when a queue is no longer at
// the version that its change expects, *waitingroom.KeyTakenError when a request was
// answered before, and *waitingroom.RolledBackError for any other refusal by the
// database; nothing was written then. After any other error
// it is not known whether everything or nothing was written.
func (s *EventStore) Append(ctx context.Context, changes ...waitingroom.Change) ([]waitingroom.Appended, error) {
	records, err := encode(changes)
	if err != nil {
		return nil, &waitingroom.RolledBackError{Err: err}
	}
	// Without BEGIN and COMMIT the batch is one implicit transaction, which takes
	// one round trip.
	batch := &pgx.Batch{}
	positions := make([]int64, 0, len(records))
	if len(records) > 0 {
		queueEvents(batch, records, &positions)
		if err := queueOutbox(batch, s.config.Outbox, records); err != nil {
			return nil, &waitingroom.RolledBackError{Err: err}
		}
	}
	if err := queueAnswers(batch, changes, records); err != nil {
		return nil, &waitingroom.RolledBackError{Err: err}
	}
	if err := queueSnapshots(batch, changes); err != nil {
		return nil, &waitingroom.RolledBackError{Err: err}
	}
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return nil, refusal(fmt.Errorf("append %d events: %w", len(records), err))
	}
	if len(records) > 0 {
		s.config.AfterCommit()
	}
	return appended(changes, positions), nil
}

// appended tells each change where its last event went.
func appended(changes []waitingroom.Change, positions []int64) []waitingroom.Appended {
	answers := make([]waitingroom.Appended, len(changes))
	written := 0
	for i, c := range changes {
		n := len(c.Events)
		written += n
		answers[i] = waitingroom.Appended{EventCount: n, Version: c.Expected + int64(n)}
		if n > 0 {
			answers[i].Position = positions[written-1]
		}
	}
	return answers
}

// queueEvents writes events and their lag rows with one statement. Arrays keep
// its text the same for any number of them, so it stays prepared.
func queueEvents(batch *pgx.Batch, records []record, positions *[]int64) {
	columns := columnsOf(records)
	batch.Queue(`
		WITH new AS (
			SELECT * FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
			AS n (aggregate_id, version, event_id, event_name, payload, metadata, occurred_at)
		), events AS (
			INSERT INTO waiting_room_events (aggregate_id, version, event_id, event_name, payload, metadata)
			SELECT aggregate_id, version, event_id, event_name, payload::jsonb, metadata::jsonb FROM new
			RETURNING position
		), lag AS (
			INSERT INTO event_processing_lag (event_id, event_name, aggregate_id, event_created_at, status)
			SELECT event_id, event_name, aggregate_id, occurred_at, 'CREATED' FROM new
		)
		SELECT position FROM events`,
		columns.queues, columns.versions, columns.ids, columns.names, columns.payloads, columns.metadata, columns.occurred,
	).Query(func(rows pgx.Rows) error {
		var position int64
		_, err := pgx.ForEachRow(rows, []any{&position}, func() error {
			*positions = append(*positions, position)
			return nil
		})
		return err
	})
}

const uniqueViolation = "23505"

// refusal tells what is certain after an append failed.
func refusal(err error) error {
	var pgErr *pgconn.PgError
	switch {
	case !errors.As(err, &pgErr) || endsTheSession(pgErr):
		return err
	case pgErr.Code == uniqueViolation && pgErr.ConstraintName == "waiting_room_events_aggregate_id_version_key":
		return &waitingroom.Error{
			Code:    waitingroom.CodeConflict,
			Message: "the queue was changed by another request at the same time; send the request again",
		}
	case pgErr.Code == uniqueViolation && pgErr.ConstraintName == "idempotency_keys_pkey":
		return &waitingroom.KeyTakenError{Err: err}
	default:
		return &waitingroom.RolledBackError{Err: err}
	}
}

// endsTheSession tells an error of the server, not of the statements: one by one
// they would fail as well.
func endsTheSession(err *pgconn.PgError) bool {
	return err.Severity == "FATAL" || err.Severity == "PANIC"
}
