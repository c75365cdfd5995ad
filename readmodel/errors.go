package readmodel

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// contendedStates are those by which it says that it gave a transaction up, and that
// the same may succeed the next time.
var contendedStates = map[string]bool{
	"40":    true,                // deadlock, serialization failure
	"55P03": true, "57014": true, // a lock that was not free in time, a statement that took too long or was cancelled
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
		return among(unavailableStates, pgErr)
	}
	return errors.As(err, &connectErr) || errors.As(err, &netErr) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Contended reports whether err says that the database gave a transaction up for the
// sake of others, and did nothing of it. It serves others meanwhile.
func Contended(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && among(contendedStates, pgErr)
}

// Passing reports whether err is one of both: it tells nothing about what was asked
// for, which may succeed in a while.
func Passing(err error) bool { return Unavailable(err) || Contended(err) }

// among reports whether the code of err, or its class, is one of some.
func among(states map[string]bool, err *pgconn.PgError) bool {
	return states[err.Code] || states[err.Code[:min(2, len(err.Code))]]
}
