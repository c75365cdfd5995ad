package stock

import (
	"context"
	stdsql "database/sql"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// The topics: events on AMQP, and what the forwarder takes from PostgreSQL.
const (
	Topic          = "stock_events"
	forwarderTopic = "stock_outbox"
)

// Config says what the pipeline works with.
type Config struct {
	Postgres string // connection string
	AMQP     string // URL
	Tuned    bool
}

// Confirms reports whether the publisher waits for the broker's confirms.
func (c Config) Confirms() bool { return c.amqp().Publish.ConfirmDelivery }

func (c Config) amqp() amqp.Config {
	config := amqp.NewDurablePubSubConfig(c.AMQP, amqp.GenerateQueueNameTopicNameWithSuffix("handler"))
	config.Publish.ConfirmDelivery = true
	if c.Tuned {
		config.Publish.ChannelPoolSize = 8
		config.Consume.Qos.PrefetchCount = 500
	}
	return config
}

func (c Config) schema() sql.DefaultPostgreSQLSchema {
	if c.Tuned {
		return sql.DefaultPostgreSQLSchema{SubscribeBatchSize: 1000}
	}
	return sql.DefaultPostgreSQLSchema{}
}

// Queue is the name of the handler's queue.
func Queue() string { return amqp.GenerateQueueNameTopicNameWithSuffix("handler")(Topic) }

const tables = `
	CREATE TABLE IF NOT EXISTS stock_event_store (
		id TEXT PRIMARY KEY, queue_id TEXT NOT NULL, payload JSONB NOT NULL, created_at TIMESTAMPTZ NOT NULL DEFAULT now());
	CREATE TABLE IF NOT EXISTS stock_view (
		id TEXT PRIMARY KEY, queue_id TEXT NOT NULL, payload JSONB NOT NULL, seen INTEGER NOT NULL DEFAULT 1)`

// Prepare makes the tables.
func Prepare(ctx context.Context, c Config) error {
	db, err := open(c, 2)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(ctx, tables); err != nil {
		return fmt.Errorf("make the peer's tables: %w", err)
	}
	subscriber, err := subscriber(db, c)
	if err != nil {
		return err
	}
	return subscriber.SubscribeInitialize(forwarderTopic)
}

func open(c Config, connections int) (*stdsql.DB, error) {
	db, err := stdsql.Open("pgx", c.Postgres)
	if err != nil {
		return nil, fmt.Errorf("open the peer's database: %w", err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

func subscriber(db *stdsql.DB, c Config) (*sql.Subscriber, error) {
	config := sql.SubscriberConfig{
		SchemaAdapter: c.schema(), OffsetsAdapter: sql.DefaultPostgreSQLOffsetsAdapter{}, InitializeSchema: true,
	}
	if c.Tuned {
		config.PollInterval = 5 * time.Millisecond
	}
	return sql.NewSubscriber(db, config, watermill.NopLogger{})
}

// Run relays and projects until ctx ends. It calls ready once it is at work.
func Run(ctx context.Context, c Config, ready func()) error {
	db, err := open(c, 16)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	fromOutbox, err := subscriber(db, c)
	if err != nil {
		return err
	}
	publisher, err := amqp.NewPublisher(c.amqp(), watermill.NopLogger{})
	if err != nil {
		return err
	}
	fromBroker, err := amqp.NewSubscriber(c.amqp(), watermill.NopLogger{})
	if err != nil {
		return err
	}
	if err := fromBroker.SubscribeInitialize(Topic); err != nil {
		return err
	}
	relay, err := forwarder.NewForwarder(fromOutbox, publisher, watermill.NopLogger{}, forwarder.Config{ForwarderTopic: forwarderTopic})
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	router.AddConsumerHandler("view", Topic, fromBroker, func(m *message.Message) error { return upsert(m, db) })
	ended := make(chan error, 2)
	go func() { ended <- router.Run(ctx) }()
	<-router.Running()
	go func() { ended <- relay.Run(ctx) }()
	<-relay.Running()
	ready()
	return <-ended
}

// upsert counts how often it saw an event, so that a lost one and a doubled one both show.
func upsert(m *message.Message, db *stdsql.DB) error {
	_, err := db.ExecContext(m.Context(), `
		INSERT INTO stock_view (id, queue_id, payload) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET seen = stock_view.seen + 1`, m.UUID, m.Metadata.Get("queue_id"), string(m.Payload))
	return err
}

// Writer stores events as an application would: the event and its outbox row in one
// transaction. It is safe for concurrent use.
type Writer struct {
	db     *stdsql.DB
	config Config
}

// NewWriter returns a writer with some connections.
func NewWriter(c Config, connections int) (*Writer, error) {
	db, err := open(c, connections)
	if err != nil {
		return nil, err
	}
	return &Writer{db: db, config: c}, nil
}

// Close ends its connections.
func (w *Writer) Close() error { return w.db.Close() }

// Write stores one event.
func (w *Writer) Write(ctx context.Context, id, queueID string, payload []byte) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, "INSERT INTO stock_event_store (id, queue_id, payload) VALUES ($1, $2, $3)", id, queueID, string(payload)); err != nil {
		return err
	}
	outbox, err := sql.NewPublisher(tx, sql.PublisherConfig{SchemaAdapter: w.config.schema()}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	m := message.NewMessage(id, payload)
	m.Metadata.Set("queue_id", queueID)
	if err := forwarder.NewPublisher(outbox, forwarder.PublisherConfig{ForwarderTopic: forwarderTopic}).Publish(Topic, m); err != nil {
		return err
	}
	return tx.Commit()
}
