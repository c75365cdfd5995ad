package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/schema"
)

// poisonTimeout bounds the write of a poisoned message. It does not depend on the
// message's context, which may be what ended.
const poisonTimeout = 5 * time.Second

// PoisonStore is the message.Publisher behind Watermill's poison middleware: it
// keeps a message that a handler gave up, with the reason, and turns the event's
// lag to FAILED. A message that comes twice for one handler is kept once.
type PoisonStore struct{ pool *pgxpool.Pool }

// NewPoisonStore returns a store over the pool.
func NewPoisonStore(pool *pgxpool.Pool) *PoisonStore { return &PoisonStore{pool: pool} }

var _ message.Publisher = (*PoisonStore)(nil)

// Publish stores the messages. It fails when the database does; the middleware
// then nacks the message and it comes again.
func (p *PoisonStore) Publish(_ string, messages ...*message.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), poisonTimeout)
	defer cancel()
	for _, m := range messages {
		if err := p.store(ctx, m); err != nil {
			return fmt.Errorf("store poisoned message %s: %w", m.UUID, err)
		}
	}
	return nil
}

func (p *PoisonStore) store(ctx context.Context, m *message.Message) error {
	// What came over the wire may be anything; what cannot be stored would come
	// again for ever.
	headers := message.Metadata{}
	for name, value := range m.Metadata {
		headers[storable(name)] = storable(value)
	}
	metadata, err := json.Marshal(headers)
	if err != nil {
		return err
	}
	payload := append([]byte{}, m.Payload...) // not nil, which would be NULL
	handler := headers.Get(middleware.PoisonedHandlerKey)
	_, err = p.pool.Exec(ctx, `
		INSERT INTO poison_messages (message_id, handler, topic, event_name, aggregate_id, reason, payload, metadata)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (message_id, handler) DO UPDATE SET reason = EXCLUDED.reason, created_at = now()`,
		storable(m.UUID), handler, headers.Get(middleware.PoisonedTopicKey),
		headers.Get(schema.HeaderEventName), headers.Get(schema.HeaderAggregateID),
		headers.Get(middleware.ReasonForPoisonedKey), payload, metadata)
	if err != nil {
		return err
	}
	eventID, err := uuid.Parse(m.UUID)
	if err != nil {
		return nil // not an event of ours, so there is no lag to mark
	}
	_, err = p.pool.Exec(ctx,
		`UPDATE event_processing_lag SET status = 'FAILED', failed_in = $2 WHERE event_id = $1`, eventID, handler)
	return err
}

// storable drops what PostgreSQL's text cannot hold.
func storable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

// Close does nothing; the pool belongs to the caller.
func (p *PoisonStore) Close() error { return nil }
