package readmodel

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// NotFoundError is returned where a view has no row for an id.
type NotFoundError struct {
	// Kind is what was looked for: one of those below, or another noun.
	Kind string
	ID   string
}

// The kinds that callers tell apart.
const (
	KindQueue   = "queue"
	KindPatient = "patient"
	// KindTurn is a queue in which nobody is present.
	KindTurn = "next turn of queue"
)

func (e *NotFoundError) Error() string { return fmt.Sprintf("%s %q is not known", e.Kind, e.ID) }

// one collects the only row of a query, or says which id was not found.
func one[T any](rows pgx.Rows, scan pgx.RowToFunc[T], kind, id string) (T, error) {
	value, err := pgx.CollectOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return value, &NotFoundError{Kind: kind, ID: id}
	}
	if err != nil {
		return value, fmt.Errorf("read %s %q: %w", kind, id, err)
	}
	return value, nil
}

// unavailableStates are the SQLSTATEs and classes by which PostgreSQL says that
// it cannot serve now: https://www.postgresql.org/docs/15/errcodes-appendix.html
var unavailableStates = map[string]bool{
	"08": true, "53": true, // connection, insufficient resources
	"57P01": true, "57P02": true, "57P03": true, // shutdown, crash, starting up
	"25006": true, // read-only: a standby, or a full disk made it so
}

// Unavailable reports whether err says that the database is away or cannot
// serve now, as opposed to refusing the request.
func Unavailable(err error) bool {
	var (
		pgErr      *pgconn.PgError
		connectErr *pgconn.ConnectError
		netErr     net.Error
	)
	if errors.As(err, &pgErr) {
		return unavailableStates[pgErr.Code] || unavailableStates[pgErr.Code[:min(2, len(pgErr.Code))]]
	}
	return errors.As(err, &connectErr) || errors.As(err, &netErr) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed)
}
