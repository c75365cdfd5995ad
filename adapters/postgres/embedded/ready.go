package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATEs of a refused connection.
const (
	cannotConnectNow   = "57P03" // it starts, recovers or shuts down
	tooManyConnections = "53300" // clients came back faster than we
	invalidCatalogName = "3D000" // there is no such database
)

// ready returns once the database can be used. It creates the database when it is
// missing.
func (s *Server) ready(ctx context.Context, p *process) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := s.ping(ctx)
		if err == nil {
			return nil
		}
		switch sqlState(err) {
		case "", cannotConnectNow, tooManyConnections:
		default:
			return fmt.Errorf("the server refuses its owner: %w", err)
		}
		select {
		case <-again.C:
		case <-p.done:
			return p.death()
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready (%w); it last said:\n%s", ctx.Err(), p.log)
		}
	}
}

func (s *Server) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.connString(database))
	if sqlState(err) == invalidCatalogName {
		return s.createDatabase(ctx)
	}
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func (s *Server) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.connString("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+database)
	return errors.Join(err, conn.Close(ctx))
}

// sqlState is the server's reason in an error; "" when the error is not its.
func sqlState(err error) string {
	if refusal := (*pgconn.PgError)(nil); errors.As(err, &refusal) {
		return refusal.Code
	}
	return ""
}
