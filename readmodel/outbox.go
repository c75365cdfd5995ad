package readmodel

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// OutboxEvent is a row of the outbox.
type OutboxEvent struct {
	ID            int64
	EventID       string
	QueueID       string
	EventName     string
	Status        string
	RetryCount    int
	LastError     *string
	LastFailedAt  *time.Time
	NextAttemptAt *time.Time
	ParkedAt      *time.Time
	PublishedAt   *time.Time
	DiscardedAt   *time.Time
	CreatedAt     time.Time
}

const outboxColumns = `id, event_id::text, aggregate_id, event_name, status, retry_count, last_error, last_failed_at,
	next_attempt_at, parked_at, published_at, discarded_at, created_at`

// OutboxKind selects events of the outbox. An empty field selects all.
type OutboxKind struct {
	// Status is PENDING, FAILED, PARKED, UNROUTABLE, PUBLISHED or DISCARDED.
	Status    string
	EventName string
	QueueID   string
}

func (k OutboxKind) String() string {
	var parts []string
	for _, field := range [][2]string{{"status", k.Status}, {"eventName", k.EventName}, {"queueId", k.QueueID}} {
		if field[1] != "" {
			parts = append(parts, field[0]+"="+field[1])
		}
	}
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, " ")
}

// The parts of the outbox that have an index of their own, and those that its
// statuses lie in.
const (
	waiting   = "NOT published"
	published = "published AND discarded_at IS NULL"
	discarded = "discarded_at IS NOT NULL"
)

func (k OutboxKind) part() string {
	switch k.Status {
	case "PUBLISHED":
		return published
	case "DISCARDED":
		return discarded
	case "":
		return "true"
	default:
		return waiting
	}
}

// PendingOutbox returns the unpublished events behind an id, oldest first, at most limit,
// and how many there are in all.
func (s *Store) PendingOutbox(ctx context.Context, after int64, limit int) (events []OutboxEvent, total int64, err error) {
	if events, err = s.outbox(ctx, waiting, OutboxKind{}, after, limit); err != nil {
		return nil, 0, err
	}
	if after == 0 && len(events) < limit {
		return events, int64(len(events)), nil
	}
	if err = s.pool.QueryRow(ctx, `SELECT count(*) FROM waiting_room_outbox WHERE NOT published`).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count the outbox: %w", err)
	}
	return events, total, nil
}

// Outbox returns events of a kind behind an id, oldest first, at most limit.
func (s *Store) Outbox(ctx context.Context, kind OutboxKind, after int64, limit int) ([]OutboxEvent, error) {
	return s.outbox(ctx, kind.part(), kind, after, limit)
}

func (s *Store) outbox(ctx context.Context, part string, kind OutboxKind, after int64, limit int) ([]OutboxEvent, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT `+outboxColumns+` FROM waiting_room_outbox
		WHERE `+part+` AND id > $1 AND ($2 = '' OR status = $2) AND ($3 = '' OR event_name = $3) AND ($4 = '' OR aggregate_id = $4)
		ORDER BY id LIMIT $5`, after, kind.Status, kind.EventName, kind.QueueID, limit)
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[OutboxEvent])
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	return events, nil
}

// OutboxEvent returns one event of the outbox, or *NotFoundError.
func (s *Store) OutboxEvent(ctx context.Context, id int64) (OutboxEvent, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+outboxColumns+` FROM waiting_room_outbox WHERE id = $1`, id)
	if err != nil {
		return OutboxEvent{}, fmt.Errorf("read the outbox: %w", err)
	}
	return one(rows, pgx.RowToStructByPos[OutboxEvent], "outbox event", strconv.FormatInt(id, 10))
}

// retry makes an event due at once. One that was parked gets all its attempts again.
const retry = `
	UPDATE waiting_room_outbox
	SET next_attempt_at = NULL, parked_at = NULL, unroutable = false,
	    retry_count = CASE WHEN parked_at IS NULL THEN retry_count ELSE 0 END
	WHERE NOT published AND status IN ('FAILED', 'PARKED', 'UNROUTABLE')`

// RetryOutbox makes the failed and parked events of a kind due at once, and returns
// how many there were. It is recorded unless there were none.
func (s *Store) RetryOutbox(ctx context.Context, kind OutboxKind, who Operator) (int64, error) {
	n, err := s.act(ctx, who, "outbox.retry", kind.String(),
		retry+` AND ($1 = '' OR status = $1) AND ($2 = '' OR event_name = $2) AND ($3 = '' OR aggregate_id = $3)`,
		kind.Status, kind.EventName, kind.QueueID)
	if errors.Is(err, errNothing) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return n, s.wakeRelay(ctx)
}

// RetryOutboxEvent makes one failed or parked event due at once. It returns
// *NotFoundError, or *StateError for one that waits for nothing.
func (s *Store) RetryOutboxEvent(ctx context.Context, id int64, who Operator) error {
	_, err := s.act(ctx, who, "outbox.retry", strconv.FormatInt(id, 10), retry+` AND id = $1`, id)
	if errors.Is(err, errNothing) {
		return s.wrongState(ctx, id, "FAILED, PARKED and UNROUTABLE")
	}
	if err != nil {
		return err
	}
	return s.wakeRelay(ctx)
}

// DiscardOutboxEvent gives a parked event up: it is never published, and its queue's
// later events go on. The event stays in the store, and projections read it from
// there. It returns *NotFoundError, or *StateError for one that is not parked:
// the relay may have it in hand.
func (s *Store) DiscardOutboxEvent(ctx context.Context, id int64, who Operator) error {
	_, err := s.act(ctx, who, "outbox.discard", strconv.FormatInt(id, 10), `
		UPDATE waiting_room_outbox SET published = true, published_at = now(), discarded_at = now()
		WHERE id = $1 AND NOT published AND parked_at IS NOT NULL`, id)
	if errors.Is(err, errNothing) {
		return s.wrongState(ctx, id, "PARKED and UNROUTABLE")
	}
	if err != nil {
		return err
	}
	return s.wakeRelay(ctx) // its queue's later events may go
}

func (s *Store) wrongState(ctx context.Context, id int64, wants string) error {
	event, err := s.OutboxEvent(ctx, id)
	if err != nil {
		return err
	}
	return &StateError{What: "outbox event", ID: id, Status: event.Status, Wants: wants}
}

func (s *Store) wakeRelay(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, "SELECT pg_notify($1, '')", schema.OutboxChannel); err != nil {
		return fmt.Errorf("wake the relay: %w", err)
	}
	return nil
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.pool.Ping(ctx) }
