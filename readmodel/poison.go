package readmodel

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// PoisonGroup are the messages that one handler gave up for the same reason, but for
// ids and numbers in it.
type PoisonGroup struct {
	Group     string
	Handler   string
	EventName *string
	// Reason is that of the newest.
	Reason string
	// Waiting is how many wait for a person, of Count in all.
	Waiting   int64
	Count     int64
	FirstSeen time.Time
	LastSeen  time.Time
}

// PoisonGroups returns the groups that somebody has to look at, those with the most
// waiting messages first, at most limit. It begins behind the group after, by what that
// says of Waiting, LastSeen and Group; the zero value is the beginning.
func (s *Store) PoisonGroups(ctx context.Context, after PoisonGroup, limit int) ([]PoisonGroup, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT * FROM (
			SELECT failure_group, handler, event_name, (array_agg(reason ORDER BY created_at DESC))[1],
			       count(*) FILTER (WHERE status IN ('WAITING', 'REPLAYING')) AS waiting, count(*), min(created_at), max(created_at) AS last
			FROM poison_messages GROUP BY failure_group, handler, event_name
		) AS g
		WHERE waiting > 0 AND ($1::bigint = 0 OR (waiting, (extract(epoch FROM last) * 1000000)::bigint, failure_group) < ($1, $2::bigint, $3))
		ORDER BY waiting DESC, last DESC, failure_group DESC LIMIT $4`, after.Waiting, after.LastSeen.UnixMicro(), after.Group, limit)
	if err != nil {
		return nil, fmt.Errorf("read the groups of poisoned messages: %w", err)
	}
	groups, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PoisonGroup])
	if err != nil {
		return nil, fmt.Errorf("read the groups of poisoned messages: %w", err)
	}
	return groups, nil
}

// PoisonMessage is one message that a handler gave up, without its content.
type PoisonMessage struct {
	ID        int64
	MessageID string
	Handler   string
	EventName *string
	QueueID   *string
	Reason    string
	Attempts  int
	Group     string
	Status    string
	CreatedAt time.Time
	SettledAt *time.Time
}

// WholePoisonMessage is one with its content, which may be large.
type WholePoisonMessage struct {
	PoisonMessage
	Stack    string
	Payload  []byte
	Metadata map[string]string
}

const poisonColumns = `id, message_id, handler, event_name, aggregate_id, reason, attempts, failure_group, status, created_at, settled_at`

// PoisonKind selects poisoned messages. An empty field selects all.
type PoisonKind struct {
	// Status is WAITING, REPLAYING, REPLAYED or DISCARDED.
	Status  string
	Handler string
	Group   string
}

func (k PoisonKind) String() string {
	var parts []string
	for _, field := range [][2]string{{"status", k.Status}, {"handler", k.Handler}, {"group", k.Group}} {
		if field[1] != "" {
			parts = append(parts, field[0]+"="+field[1])
		}
	}
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, " ")
}

// PoisonMessages returns messages of a kind behind an id, oldest first, at most limit.
// Their content is not read.
func (s *Store) PoisonMessages(ctx context.Context, kind PoisonKind, after int64, limit int) ([]PoisonMessage, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT `+poisonColumns+` FROM poison_messages
		WHERE id > $1 AND ($2 = '' OR status = $2) AND ($3 = '' OR handler = $3) AND ($4 = '' OR failure_group = $4)
		ORDER BY id LIMIT $5`, after, kind.Status, kind.Handler, kind.Group, limit)
	if err != nil {
		return nil, fmt.Errorf("read poisoned messages: %w", err)
	}
	messages, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PoisonMessage])
	if err != nil {
		return nil, fmt.Errorf("read poisoned messages: %w", err)
	}
	return messages, nil
}

// PoisonMessage returns one message, or *NotFoundError.
func (s *Store) PoisonMessage(ctx context.Context, id int64) (WholePoisonMessage, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+poisonColumns+`, stack, payload, metadata FROM poison_messages WHERE id = $1`, id)
	if err != nil {
		return WholePoisonMessage{}, fmt.Errorf("read a poisoned message: %w", err)
	}
	return one(rows, pgx.RowToStructByPos[WholePoisonMessage], "poisoned message", strconv.FormatInt(id, 10))
}

const (
	orderReplay   = `UPDATE poison_messages SET status = 'REPLAYING' WHERE status = 'WAITING'`
	discardPoison = `UPDATE poison_messages SET status = 'DISCARDED', settled_at = now() WHERE status = 'WAITING'`
	ofPoisonKind  = ` AND ($1 = '' OR handler = $1) AND ($2 = '' OR failure_group = $2)`
)

// ReplayPoison orders the waiting messages of a kind to be handed to their handlers
// again, each to the one that gave it up, and returns how many there were. Ordered
// twice they are replayed once. It is recorded unless there were none.
func (s *Store) ReplayPoison(ctx context.Context, kind PoisonKind, who Operator) (int64, error) {
	return s.actOnPoison(ctx, who, "poison.replay", orderReplay, kind)
}

// DiscardPoison gives the waiting messages of a kind up and returns how many there were.
func (s *Store) DiscardPoison(ctx context.Context, kind PoisonKind, who Operator) (int64, error) {
	return s.actOnPoison(ctx, who, "poison.discard", discardPoison, kind)
}

func (s *Store) actOnPoison(ctx context.Context, who Operator, action, statement string, kind PoisonKind) (int64, error) {
	n, err := s.act(ctx, who, action, kind.String(), statement+ofPoisonKind, kind.Handler, kind.Group)
	if errors.Is(err, errNothing) {
		return 0, nil
	}
	return n, err
}

// ReplayPoisonMessage orders one waiting message to be handed to its handler again. It
// returns *NotFoundError, or *StateError for one that does not wait.
func (s *Store) ReplayPoisonMessage(ctx context.Context, id int64, who Operator) error {
	return s.actOnPoisonMessage(ctx, who, "poison.replay", orderReplay, id)
}

// DiscardPoisonMessage gives one waiting message up. It returns *NotFoundError, or
// *StateError for one that does not wait.
func (s *Store) DiscardPoisonMessage(ctx context.Context, id int64, who Operator) error {
	return s.actOnPoisonMessage(ctx, who, "poison.discard", discardPoison, id)
}

func (s *Store) actOnPoisonMessage(ctx context.Context, who Operator, action, statement string, id int64) error {
	_, err := s.act(ctx, who, action, strconv.FormatInt(id, 10), statement+` AND id = $1`, id)
	if !errors.Is(err, errNothing) {
		return err
	}
	message, err := s.PoisonMessage(ctx, id)
	if err != nil {
		return err
	}
	return &StateError{What: "poisoned message", ID: id, Status: message.Status, Wants: "WAITING"}
}
