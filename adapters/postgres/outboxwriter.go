package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"

	wmsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// OutboxPublisher is a message.Publisher that writes outbox rows through
// watermill-sql's publisher, in the transaction of the event store that the
// context of the first message carries. The rows are sent together with the rest
// of that transaction: Publish returns before, and the event store reports what
// becomes of them. It can be decorated like any other.
type OutboxPublisher struct{}

var _ message.Publisher = OutboxPublisher{}

// errNoTransaction is returned for messages that no event store sent.
var errNoTransaction = errors.New("the outbox takes messages within a transaction of the event store only")

// Publish adds one row a message to the transaction.
func (OutboxPublisher) Publish(topic string, messages ...*message.Message) error {
	if len(messages) == 0 {
		return nil
	}
	executor, ok := messages[0].Context().Value(executorKey{}).(batchExecutor)
	if !ok {
		return errNoTransaction
	}
	publisher, err := wmsql.NewPublisher(executor, wmsql.PublisherConfig{SchemaAdapter: OutboxSchema{}}, nil)
	if err != nil {
		return fmt.Errorf("make the outbox publisher: %w", err)
	}
	return publisher.Publish(topic, messages...)
}

// Close does nothing: the transactions belong to the event store.
func (OutboxPublisher) Close() error { return nil }

type executorKey struct{}

// queueOutbox adds the outbox rows of records to the caller's transaction.
func queueOutbox(batch *pgx.Batch, publisher message.Publisher, records []record) error {
	// A context of their own: that of the command says that it was published.
	carrier := context.WithValue(context.Background(), executorKey{}, batchExecutor{batch})
	messages := make([]*message.Message, len(records))
	for i, r := range records {
		messages[i] = message.NewMessage(r.metadata.EventID, message.Payload(r.payload))
		messages[i].Metadata = schema.Headers(r.name, r.metadata)
		messages[i].SetContext(carrier)
	}
	return publisher.Publish(schema.Topic, messages...)
}

// errWriteOnly is returned by the parts of watermill-sql's interfaces that
// reading needs: the relay reads the outbox in its own way (adapters/outbox).
var errWriteOnly = errors.New("the outbox schema adapter only writes; adapters/outbox reads")

// OutboxSchema tells watermill-sql how messages become rows of
// waiting_room_outbox. Migrations own the table.
type OutboxSchema struct{}

var _ wmsql.SchemaAdapter = OutboxSchema{}

// InsertQuery writes all messages with one statement whose text does not depend
// on their number, so it stays prepared.
func (OutboxSchema) InsertQuery(_ string, messages message.Messages) (wmsql.Query, error) {
	n := len(messages)
	ids, queues, names := make([]string, n), make([]string, n), make([]string, n)
	payloads, metadata := make([]string, n), make([]string, n)
	for i, m := range messages {
		encoded, err := json.Marshal(m.Metadata)
		if err != nil {
			return wmsql.Query{}, fmt.Errorf("encode headers of message %s: %w", m.UUID, err)
		}
		ids[i], queues[i], names[i] = m.UUID, m.Metadata[schema.HeaderAggregateID], m.Metadata[schema.HeaderEventName]
		payloads[i], metadata[i] = string(m.Payload), string(encoded)
	}
	return wmsql.Query{
		Query: `
	INSERT INTO waiting_room_outbox (event_id, aggregate_id, event_name, payload, metadata)
	SELECT event_id, aggregate_id, event_name, payload::jsonb, metadata::jsonb
	FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
	AS n (event_id, aggregate_id, event_name, payload, metadata)`,
		Args: []any{ids, queues, names, payloads, metadata},
	}, nil
}

// SelectQuery is not used: the outbox is read by adapters/outbox.
func (OutboxSchema) SelectQuery(string, string, wmsql.OffsetsAdapter) wmsql.Query {
	return wmsql.Query{}
}

// UnmarshalMessage always fails: the outbox is read by adapters/outbox.
func (OutboxSchema) UnmarshalMessage(wmsql.Scanner) (wmsql.Row, error) {
	return wmsql.Row{}, errWriteOnly
}

// SchemaInitializingQueries returns none: migrations own the table.
func (OutboxSchema) SchemaInitializingQueries(string) []wmsql.Query { return nil }

// SubscribeIsolationLevel is not used: the outbox is read by adapters/outbox.
func (OutboxSchema) SubscribeIsolationLevel() sql.IsolationLevel { return sql.LevelDefault }

// batchExecutor lets watermill-sql's publisher add to a batch of statements. The
// publisher calls ExecContext alone.
type batchExecutor struct{ batch *pgx.Batch }

var _ wmsql.ContextExecutor = batchExecutor{}

func (e batchExecutor) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	e.batch.Queue(query, args...)
	return driver.ResultNoRows, nil
}

func (e batchExecutor) Exec(query string, args ...any) (sql.Result, error) {
	return e.ExecContext(context.Background(), query, args...)
}

func (batchExecutor) Query(string, ...any) (*sql.Rows, error) { return nil, errWriteOnly }

func (batchExecutor) QueryRow(string, ...any) *sql.Row { return nil }

func (batchExecutor) QueryContext(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, errWriteOnly
}

func (batchExecutor) QueryRowContext(context.Context, string, ...any) *sql.Row { return nil }
