package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/schema"
)

const (
	// missedWindow bounds the positions of one look for what a handler has missed, and
	// missedPage the events that it returns.
	missedWindow, missedPage = 10_000, 1000
	// waitingLimit bounds the waiting events of the outbox that a look reads. With that many
	// the relay is far behind, and what is missed is told apart from what is late when it has
	// caught up.
	waitingLimit = 20_000
	// startPage is among how many waiting events the first one is looked for at a start:
	// they are nearly in the order of their positions.
	startPage = 1000
)

// PluginCheckpoints knows which events the handlers of plugins are done with, and finds
// those that they have missed. It is safe for concurrent use, also by several processes.
type PluginCheckpoints struct{ pool *pgxpool.Pool }

// NewPluginCheckpoints returns them over the pool.
func NewPluginCheckpoints(pool *pgxpool.Pool) *PluginCheckpoints {
	return &PluginCheckpoints{pool: pool}
}

// Start begins the checkpoints of handlers that are new. They miss nothing of what everybody
// was told of before; some of it that was told out of turn they may be sent.
func (p *PluginCheckpoints) Start(ctx context.Context, handlers []string) error {
	b, err := p.backlog(ctx, startPage)
	if err == nil {
		_, err = p.pool.Exec(ctx, `
			INSERT INTO plugin_checkpoints (handler, checked_position)
			SELECT h, coalesce((SELECT min(position) - 1 FROM waiting_room_events WHERE event_id = ANY($2::text[]::uuid[])),
			                   (SELECT max(position) FROM waiting_room_events), 0)
			FROM unnest($1::text[]) AS h ON CONFLICT DO NOTHING`, handlers, b.waiting)
	}
	if err != nil {
		return fmt.Errorf("start the checkpoints of plugins: %w", err)
	}
	return nil
}

// Drop forgets handlers: they begin anew when they are started.
func (p *PluginCheckpoints) Drop(ctx context.Context, handlers []string) error {
	if _, err := p.pool.Exec(ctx, "DELETE FROM plugin_checkpoints WHERE handler = ANY($1)", handlers); err != nil {
		return fmt.Errorf("drop the checkpoints of plugins: %w", err)
	}
	return nil
}

// Newest is the position of the store's last event, 0 where there is none.
func (p *PluginCheckpoints) Newest(ctx context.Context) (position int64, err error) {
	err = p.pool.QueryRow(ctx, "SELECT coalesce(max(position), 0) FROM waiting_room_events").Scan(&position)
	if err != nil {
		return 0, fmt.Errorf("look for the last event: %w", err)
	}
	return position, nil
}

// Mark notes that each of the handlers is done with the event of the same index. Events
// that are not in the store are left out.
func (p *PluginCheckpoints) Mark(ctx context.Context, handlers, eventIDs []string) error {
	done := map[string][]uuid.UUID{}
	for i, handler := range handlers {
		if id, err := uuid.Parse(eventIDs[i]); err == nil {
			done[handler] = append(done[handler], id)
		}
	}
	batch := &pgx.Batch{}
	for handler, ids := range done {
		batch.Queue(`
			INSERT INTO plugin_marks (handler, first_position, last_position, positions)
			SELECT $1, min(position), max(position), array_agg(position) FROM waiting_room_events
			WHERE event_id = ANY($2::uuid[]) AND position > (SELECT checked_position FROM plugin_checkpoints WHERE handler = $1)
			HAVING count(*) > 0`, handler, ids)
	}
	if err := p.pool.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("mark events done: %w", err)
	}
	return nil
}

// Begin reports whether a handler is marked done with an event, and if not notes that it is
// begun, unless again says that the caller has, and returns how often it was.
func (p *PluginCheckpoints) Begin(ctx context.Context, handler, eventID string, again bool) (done bool, tries int, err error) {
	err = p.pool.QueryRow(ctx, `
		WITH event AS (
			SELECT e.position, e.position <= c.checked_position OR EXISTS (
				SELECT FROM plugin_marks m WHERE m.handler = $1 AND m.last_position >= e.position
				AND m.first_position <= e.position AND e.position = ANY(m.positions)) AS done
			FROM waiting_room_events e, plugin_checkpoints c WHERE e.event_id = $2 AND c.handler = $1
		), begun AS (
			INSERT INTO plugin_tries AS t (handler, position) SELECT $1, position FROM event WHERE NOT done
			ON CONFLICT (handler, position) DO UPDATE SET tries = t.tries + CASE WHEN $3 THEN 0 ELSE 1 END RETURNING tries
		)
		SELECT coalesce((SELECT done FROM event), false), coalesce((SELECT tries FROM begun), 0)`, handler, eventID, again).Scan(&done, &tries)
	if err != nil {
		return false, 0, fmt.Errorf("begin a missed event: %w", err)
	}
	return done, tries, nil
}

// Reached is the last position among those that a handler is marked done with, 0 where it
// has no marks.
func (p *PluginCheckpoints) Reached(ctx context.Context, handler string) (position int64, err error) {
	err = p.pool.QueryRow(ctx, "SELECT coalesce(max(last_position), 0) FROM plugin_marks WHERE handler = $1", handler).Scan(&position)
	if err != nil {
		return 0, fmt.Errorf("look how far %s has come: %w", handler, err)
	}
	return position, nil
}

// NoCheckpointError says that a handler was never started, or was dropped since.
type NoCheckpointError struct{ Handler string }

func (e *NoCheckpointError) Error() string {
	return fmt.Sprintf("%s has no checkpoint; it gets one when a process of its build starts", e.Handler)
}

// Missed returns events of a kind that the outbox has told everybody of but the handler is
// not done with, some of the first ones up to a position, as messages that say so
// (schema.HeaderMissed). Whether they are on their way to it the store cannot know. Up to
// checked the handler is done with all events; the next call goes on there, and not all
// positions need have been looked at.
//
// What waits in the outbox is not missed. An event that is held back there or discarded
// by a person counts as done. The error is *NoCheckpointError for a handler that was not
// started, else the database's.
func (p *PluginCheckpoints) Missed(ctx context.Context, handler, eventName string, upTo int64) (missed []*message.Message, checked int64, err error) {
	var unmarked []int64
	err = p.pool.QueryRow(ctx, unmarkedEvents, handler, eventName, upTo, missedWindow, missedPage).Scan(&unmarked, &checked)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, 0, &NoCheckpointError{handler}
	}
	if err == nil && len(unmarked) > 0 {
		missed, err = p.missed(ctx, handler, unmarked)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("look for what %s has missed: %w", handler, err)
	}
	return missed, checked, nil
}

// unmarkedEvents finds events that a handler is not marked done with, in a window of
// positions behind its checkpoint, and moves that up to the first of them.
const unmarkedEvents = `
	WITH span AS MATERIALIZED (
		SELECT checked_position AS before, least($3::bigint, checked_position + $4) AS last FROM plugin_checkpoints WHERE handler = $1
	), marked AS MATERIALIZED (
		SELECT unnest(m.positions) AS position FROM plugin_marks m, span
		WHERE m.handler = $1 AND m.last_position > span.before AND m.first_position <= span.last
	), unmarked AS MATERIALIZED (
		SELECT e.position FROM waiting_room_events e
		WHERE e.position > (SELECT before FROM span) AND e.position <= (SELECT last FROM span) AND e.event_name = $2
		AND e.position NOT IN (SELECT position FROM marked) -- hashed, while joins of estimates like these are nested loops
	), checked AS MATERIALIZED (
		SELECT coalesce((SELECT min(position) - 1 FROM unmarked), greatest(before, last)) AS position FROM span
	), noted AS (
		UPDATE plugin_checkpoints SET checked_position = checked.position
		FROM checked WHERE handler = $1 AND checked_position < checked.position
	), forgotten AS (
		DELETE FROM plugin_marks m USING checked WHERE m.handler = $1 AND m.last_position <= checked.position
	), ended AS (
		DELETE FROM plugin_tries t USING checked WHERE t.handler = $1 AND t.position <= checked.position
	)
	SELECT ARRAY(SELECT position FROM unmarked ORDER BY position LIMIT $5), position FROM checked`

// missed sorts the events at some positions: what is left to the outbox is marked, and what
// is missed returned. While the relay is far behind that is nothing.
func (p *PluginCheckpoints) missed(ctx context.Context, handler string, positions []int64) (missed []*message.Message, err error) {
	b, err := p.backlog(ctx, waitingLimit)
	if err != nil || len(b.waiting) == waitingLimit {
		return nil, err
	}
	events, err := p.storedAt(ctx, positions)
	if err != nil {
		return nil, err
	}
	var (
		left    []int64
		waiting = map[string]bool{}
	)
	for _, id := range b.waiting {
		waiting[id] = true
	}
	for _, e := range events {
		switch {
		case b.left[e.EventID]:
			left = append(left, e.Position)
		case !waiting[e.EventID]:
			msg := e.message(ctx)
			msg.Metadata.Set(schema.HeaderMissed, "true")
			missed = append(missed, msg)
		}
	}
	if len(left) == 0 {
		return missed, nil
	}
	_, err = p.pool.Exec(ctx, "INSERT INTO plugin_marks (handler, first_position, last_position, positions) VALUES ($1, $2, $3, $4)",
		handler, left[0], left[len(left)-1], left)
	return missed, err
}

func (p *PluginCheckpoints) storedAt(ctx context.Context, positions []int64) ([]storedEvent, error) {
	rows, err := p.pool.Query(ctx, "SELECT "+storedColumns+" FROM waiting_room_events WHERE position = ANY($1) ORDER BY position", positions)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[storedEvent])
}
