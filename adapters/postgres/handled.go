package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// HandledKept is how long it is remembered that a handler has handled an event. The
// broker redelivers within minutes.
const HandledKept = 7 * 24 * time.Hour

// HandledEvents remembers which events handlers have handled, in the transactions in
// which they did. It is safe for concurrent use, also by several processes.
type HandledEvents struct{ pool *pgxpool.Pool }

// NewHandledEvents returns them over the pool.
func NewHandledEvents(pool *pgxpool.Pool) *HandledEvents { return &HandledEvents{pool: pool} }

// Once runs work in a transaction that it commits with a mark that the handler has
// handled the event, and does nothing where the mark is there: one that handles the
// event elsewhere at the same time is waited for. It returns the error of work, and
// nothing was done then.
func (h *HandledEvents) Once(ctx context.Context, handler, eventID string, work func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, h.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "INSERT INTO handled_events (handler, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", handler, eventID)
		if err != nil {
			return fmt.Errorf("mark the event handled: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return nil
		}
		return work(tx)
	})
}

// errRehearsed rolls a rehearsal back.
var errRehearsed = errors.New("rehearsed")

// Rehearse runs work in a transaction that it rolls back, and returns its error, or
// that of a constraint which is checked at the end only.
func (h *HandledEvents) Rehearse(ctx context.Context, work func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, h.pool, func(tx pgx.Tx) error {
		if err := work(tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
			return err
		}
		return errRehearsed
	})
	if errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}

// Forget deletes the marks that are older than HandledKept, in small transactions, and
// returns how many there were.
func (h *HandledEvents) Forget(ctx context.Context) (forgotten int64, err error) {
	for {
		tag, err := h.pool.Exec(ctx, `
			DELETE FROM handled_events WHERE (handler, event_id) IN (
				SELECT handler, event_id FROM handled_events WHERE handled_at < now() - $1::interval ORDER BY handled_at LIMIT $2)`,
			HandledKept, forgetBatch)
		if err != nil {
			return forgotten, fmt.Errorf("forget handled events: %w", err)
		}
		forgotten += tag.RowsAffected()
		if tag.RowsAffected() < forgetBatch {
			return forgotten, nil
		}
	}
}
