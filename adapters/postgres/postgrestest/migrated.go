package postgrestest

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/rlapp/rlapp/schema"
)

// Migrated returns the connection string of a new database with this build's schema.
func Migrated(t testing.TB) string {
	t.Helper()
	return NewFrom(t, migrate)
}

func migrate(ctx context.Context, connString string) error {
	db, err := sql.Open("pgx", connString)
	if err != nil {
		return err
	}
	return errors.Join(schema.Migrate(ctx, db), db.Close())
}
