package plugin

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rlapp/rlapp/handlers/poison"
	"github.com/rlapp/rlapp/schema"
)

// Transactions runs what handlers do to the database. It is safe for concurrent use.
type Transactions interface {
	// Once runs work in a transaction that it commits with a mark that the handler has
	// handled the event, and does nothing where the mark is there. It returns the error
	// of work, and nothing was done then.
	Once(ctx context.Context, handler, eventID string, work func(pgx.Tx) error) error
	// Rehearse runs work in a transaction that it rolls back.
	Rehearse(ctx context.Context, work func(pgx.Tx) error) error
}

// passingError is a failure of the database that tells nothing about the event.
type passingError struct{ error }

func (e *passingError) Unwrap() error { return e.error }

// isPoison says whether an event that keeps failing is set aside.
func isPoison(err error) bool {
	var passing *passingError
	return !errors.As(err, &passing) && !errors.Is(err, context.Canceled)
}

// queryCanceled is what PostgreSQL says of a statement that took too long: the next time
// it may take as long again.
const queryCanceled = "57014"

// inTransaction runs what OnTx made. A passing error is the database's where it is not
// the handler's, or where it is PostgreSQL's or the connection is lost: what else a
// handler calls may be away as well, and that is its own failure, as is a statement that
// takes too long.
func (r registration) inTransaction(ctx context.Context, e schema.Recorded) error {
	database := true
	err := r.config.Transactions.Once(ctx, r.queue.Handler, e.Metadata.EventID, func(tx pgx.Tx) error {
		err := r.handleTx(ctx, tx, e)
		var refused *pgconn.PgError
		database = err == nil || errors.As(err, &refused) && refused.Code != queryCanceled || tx.Conn().IsClosed()
		return err
	})
	if err != nil && database && r.config.IsPassing != nil && r.config.IsPassing(err) {
		return &passingError{err}
	}
	return err
}

func needTransactions(plugins []Plugin, transactions Transactions) error {
	for _, p := range plugins {
		for _, h := range p.Handlers {
			if h.handleTx != nil && transactions == nil {
				return fmt.Errorf("handler %s works in a transaction; Config.Transactions is required", p.queue(h).Handler)
			}
		}
	}
	return nil
}

// Rehearsals returns how the handlers that OnTx made are rehearsed, by name. What the
// others do cannot be rolled back.
func Rehearsals(plugins []Plugin, transactions Transactions) poison.Rehearsals {
	all := poison.Rehearsals{}
	for _, p := range plugins {
		for _, h := range p.Handlers {
			if h.handleTx == nil {
				continue
			}
			all[p.queue(h).Handler] = func(ctx context.Context, e schema.Recorded) error {
				return transactions.Rehearse(ctx, func(tx pgx.Tx) error { return h.handleTx(ctx, tx, e) })
			}
		}
	}
	return all
}
