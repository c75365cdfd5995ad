package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// Resend says which stored events are sent to a handler once more.
type Resend struct {
	Handler string
	// EventName is the kind of event that it takes.
	EventName string
	// Since and Until bound when the events were stored; Until is not among it.
	Since, Until time.Time
}

// target is what the record of operators' actions says of it.
func (r Resend) target() string {
	return fmt.Sprintf("%s, stored since %s until %s", r.Handler, r.Since.UTC().Format(time.RFC3339Nano), r.Until.UTC().Format(time.RFC3339Nano))
}

// resendPage is how many events are sent in one call.
const resendPage = 500

// ofResend are the events that a Resend tells of, behind a position.
const ofResend = ` FROM waiting_room_events WHERE event_name = $1 AND created_at >= $2 AND created_at < $3 AND position > $4`

// CountResend returns how many events a Resend would send.
func (s *EventStore) CountResend(ctx context.Context, r Resend) (events int64, err error) {
	before, err := s.lastBefore(ctx, r.Since)
	if err != nil {
		return 0, err
	}
	err = s.pool.QueryRow(ctx, "SELECT count(*)"+ofResend, r.EventName, r.Since, r.Until, before).Scan(&events)
	if err != nil {
		return 0, fmt.Errorf("count the events: %w", err)
	}
	return events, nil
}

// lastBefore is a position before which nothing was stored since a moment. Positions
// follow the time but for moments; the look begins at the newest event.
func (s *EventStore) lastBefore(ctx context.Context, since time.Time) (position int64, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT coalesce((SELECT position FROM waiting_room_events WHERE created_at < $1::timestamptz - interval '1 minute' ORDER BY position DESC LIMIT 1), 0)`,
		since).Scan(&position)
	if err != nil {
		return 0, fmt.Errorf("look for the first event: %w", err)
	}
	return position, nil
}

// Resend records who has it done, and gives the messages of the events to send, some at a
// time, in their order. Archived events are not among them.
//
// It returns how many were sent, also with an error, which is that of send or the
// database's; reached is when the last of them was stored, from where another Resend
// goes on.
func (s *EventStore) Resend(
	ctx context.Context, r Resend, who Operator, send func(...*message.Message) error,
) (sent int64, reached time.Time, err error) {
	reached = r.Since
	position, err := s.lastBefore(ctx, r.Since)
	if err != nil {
		return 0, reached, err
	}
	if err := s.recordResend(ctx, r, who, position); err != nil {
		return 0, reached, err
	}
	for {
		page, err := s.resendPage(ctx, r, position)
		if err != nil || len(page) == 0 {
			return sent, reached, err
		}
		messages := make([]*message.Message, len(page))
		for i, one := range page {
			messages[i] = one.message(ctx)
		}
		if err := send(messages...); err != nil {
			return sent, reached, err
		}
		last := page[len(page)-1]
		sent, reached, position = sent+int64(len(page)), last.CreatedAt, last.Position
	}
}

func (s *EventStore) recordResend(ctx context.Context, r Resend, who Operator, after int64) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO operator_actions (actor, action, target, reason, affected) SELECT $5, 'event.resend', $6, $7, count(*)`+ofResend,
		r.EventName, r.Since, r.Until, after, who.Actor, r.target(), who.Reason)
	if err != nil {
		return fmt.Errorf("record who resends: %w", err)
	}
	return nil
}

func (s *EventStore) resendPage(ctx context.Context, r Resend, after int64) ([]storedEvent, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+storedColumns+
		ofResend+` ORDER BY position LIMIT $5`, r.EventName, r.Since, r.Until, after, resendPage)
	if err != nil {
		return nil, fmt.Errorf("read the events: %w", err)
	}
	page, err := pgx.CollectRows(rows, pgx.RowToStructByPos[storedEvent])
	if err != nil {
		return nil, fmt.Errorf("read the events: %w", err)
	}
	return page, nil
}

// storedEvent is a row of waiting_room_events.
type storedEvent struct {
	Position    int64
	EventID     string
	AggregateID string
	Version     int64
	EventName   string
	Payload     []byte
	Metadata    []byte
	CreatedAt   time.Time
}

const storedColumns = `position, event_id::text, aggregate_id, version, event_name, payload::text, metadata::text, created_at`

// message is what the relay makes of the event. The columns are the truth: a row written
// by hand may have no metadata, or some that mean nothing, of which the handler says so.
func (e storedEvent) message(ctx context.Context) *message.Message {
	var metadata schema.Metadata
	if json.Unmarshal(e.Metadata, &metadata) != nil {
		metadata.SchemaVersion = unreadableVersion
	}
	metadata.EventID, metadata.AggregateID, metadata.Version = e.EventID, e.AggregateID, e.Version
	if metadata.OccurredAt.IsZero() {
		metadata.OccurredAt = e.CreatedAt
	}
	msg := message.NewMessage(e.EventID, e.Payload)
	msg.Metadata = schema.Headers(e.EventName, metadata)
	msg.Metadata.Set(schema.HeaderPublishedAt, time.Now().UTC().Format(time.RFC3339Nano))
	msg.SetContext(ctx)
	return msg
}

// unreadableVersion is no version of any event.
const unreadableVersion = -1
