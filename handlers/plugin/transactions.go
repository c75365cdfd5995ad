package plugin

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

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
