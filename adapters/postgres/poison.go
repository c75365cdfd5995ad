package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
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
	metadata, err := json.Marshal(travelling(headers))
	if err != nil {
		return err
	}
	payload := append([]byte{}, m.Payload...) // not nil, which would be NULL
	handler, event := headers.Get(middleware.PoisonedHandlerKey), headers.Get(schema.HeaderEventName)
	// The text of a panic ends with its stack, which has a column of its own.
	reason, _, _ := strings.Cut(headers.Get(middleware.ReasonForPoisonedKey), ", stacktrace:")
	tries, _ := strconv.Atoi(headers.Get(schema.HeaderPoisonTries))
	_, err = p.pool.Exec(ctx, `
		INSERT INTO poison_messages AS p (message_id, handler, topic, event_name, aggregate_id, reason, payload, metadata,
			attempts, stack, failure_group)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (message_id, handler) DO UPDATE
		SET reason = EXCLUDED.reason, stack = EXCLUDED.stack, failure_group = EXCLUDED.failure_group,
		    attempts = p.attempts + EXCLUDED.attempts, created_at = now(), settled_at = NULL, status = 'WAITING'`,
		storable(m.UUID), handler, headers.Get(middleware.PoisonedTopicKey), event, headers.Get(schema.HeaderAggregateID),
		reason, payload, metadata, max(1, tries), headers.Get(schema.HeaderPoisonStack), failureGroup(handler, event, reason))
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

// travelling are the headers without what was noted about the failure.
func travelling(headers message.Metadata) message.Metadata {
	rest := maps.Clone(headers)
	for _, noted := range []string{
		middleware.ReasonForPoisonedKey, middleware.PoisonedTopicKey, middleware.PoisonedHandlerKey, middleware.PoisonedSubscriberKey,
		schema.HeaderPoisonTries, schema.HeaderPoisonStack,
	} {
		delete(rest, noted)
	}
	return rest
}

// varying is what differs between two failures of the same kind: ids, what stands in
// quotes, numbers.
var varying = regexp.MustCompile(`[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|"[^"]*"|'[^']*'|\d+`)

// failureGroup names failures of the same kind.
func failureGroup(handler, event, reason string) string {
	sum := sha256.Sum256([]byte(handler + "\x00" + event + "\x00" + varying.ReplaceAllString(reason, "…")))
	return hex.EncodeToString(sum[:8])
}

// storable drops what PostgreSQL's text cannot hold.
func storable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

// replayLock is held by the session that replays: of several processes one does.
const replayLock = 0x524c4153 // "RLAS"

// replayPace is how long who has replayed some messages keeps other processes out.
const replayPace = time.Second

// Replay hands messages that operators ordered to be replayed to send, oldest first
// and at most limit, and returns a second later how many it took; none where another
// process is replaying: so it is at most limit a second for all of them.
//
// send may wait for the handler: a message that fails again meanwhile waits for a person
// again. So does one for which send returns an error that hopeless is true of, with that
// as its reason; Replay returns those errors joined. After any other error the message is
// kept for the next time, with those behind it; after a crash one may be sent twice.
func (p *PoisonStore) Replay(
	ctx context.Context, limit int, send func(handler string, msg *message.Message) error, hopeless func(error) bool,
) (sent int, err error) {
	var some bool
	if err := p.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM poison_messages WHERE status = 'REPLAYING')").Scan(&some); err != nil || !some {
		return 0, err
	}
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return 0, fmt.Errorf("replay poisoned messages: %w", err)
	}
	defer conn.Release()
	var free bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", replayLock).Scan(&free); err != nil || !free {
		return 0, err
	}
	defer unlockReplay(ctx, conn)
	if sent, err = replayOrdered(ctx, conn, limit, send, hopeless); sent > 0 {
		select {
		case <-time.After(replayPace):
		case <-ctx.Done():
		}
	}
	return sent, err
}

func replayOrdered(
	ctx context.Context, conn *pgxpool.Conn, limit int, send func(handler string, msg *message.Message) error, hopeless func(error) bool,
) (sent int, err error) {
	ordered, err := orderedReplays(ctx, conn, limit)
	if err != nil {
		return 0, fmt.Errorf("replay poisoned messages: %w", err)
	}
	var refused []error
	for _, one := range ordered {
		err := send(one.Handler, one.message(ctx))
		if err != nil {
			err = fmt.Errorf("replay poisoned message %d: %w", one.ID, err)
			if refused = append(refused, err); !hopeless(err) {
				return sent, errors.Join(refused...)
			}
		}
		if err := settle(ctx, conn, one, err); err != nil {
			return sent, fmt.Errorf("note what became of poisoned message %d: %w", one.ID, errors.Join(append(refused, err)...))
		}
		if err == nil {
			sent++
		}
	}
	return sent, errors.Join(refused...)
}

// unlockReplay lets others replay; a session that cannot say so is not used again.
func unlockReplay(ctx context.Context, conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), poisonTimeout)
	defer cancel()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", replayLock); err != nil {
		_ = conn.Conn().Close(ctx)
	}
}

func orderedReplays(ctx context.Context, conn *pgxpool.Conn, limit int) ([]poisoned, error) {
	rows, err := conn.Query(ctx, `
		SELECT id, attempts, handler, message_id, coalesce(event_name, ''), reason, payload, metadata FROM poison_messages
		WHERE status = 'REPLAYING' ORDER BY id LIMIT $1`, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[poisoned])
}

// settle notes that a message was replayed, or why it cannot be, unless it has failed
// again since.
func settle(ctx context.Context, conn *pgxpool.Conn, one poisoned, refused error) error {
	if refused == nil {
		_, err := conn.Exec(ctx, `
			UPDATE poison_messages SET status = 'REPLAYED', settled_at = now()
			WHERE id = $1 AND status = 'REPLAYING' AND attempts = $2`, one.ID, one.Attempts)
		return err
	}
	reason := storable(refused.Error()) + givenUpFor + one.cause()
	_, err := conn.Exec(ctx, `
		UPDATE poison_messages SET status = 'WAITING', reason = $3, failure_group = $4
		WHERE id = $1 AND status = 'REPLAYING' AND attempts = $2`, one.ID, one.Attempts, reason, failureGroup(one.Handler, one.EventName, reason))
	return err
}

// givenUpFor parts why a message cannot be replayed from why its handler gave it up.
const givenUpFor = "; it was given up for: "

// poisoned is a message that a handler gave up.
type poisoned struct {
	ID        int64
	Attempts  int
	Handler   string
	MessageID string
	EventName string
	Reason    string
	Payload   []byte
	Metadata  map[string]string
}

// cause is why the handler gave it up, also where a replay was refused before.
func (p poisoned) cause() string {
	if _, cause, before := strings.Cut(p.Reason, givenUpFor); before {
		return cause
	}
	return p.Reason
}

// message is as the handler first got it.
func (p poisoned) message(ctx context.Context) *message.Message {
	msg := message.NewMessage(p.MessageID, p.Payload)
	msg.Metadata = p.Metadata
	msg.SetContext(ctx)
	return msg
}

// Close does nothing; the pool belongs to the caller.
func (p *PoisonStore) Close() error { return nil }
