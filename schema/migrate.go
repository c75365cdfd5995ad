package schema

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// NotMigratedError is returned where the database's schema is older than this build's.
type NotMigratedError struct{ Have, Want int64 }

func (e *NotMigratedError) Error() string {
	return fmt.Sprintf("the database schema is at version %d, this build needs %d; run `go run ./app --init-db` once", e.Have, e.Want)
}

// Migrate brings the database to the newest schema. Several processes may call
// it at once: an advisory lock lets one work while the others wait.
func Migrate(ctx context.Context, db *sql.DB) error {
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("prepare the migration lock: %w", err)
	}
	p, err := provider(db, goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return nil
}

// Check returns *NotMigratedError unless the database has the schema that this
// build needs. A newer schema passes: migrations only add within one release.
func Check(ctx context.Context, db *sql.DB) error {
	p, err := provider(db)
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", err)
	}
	if have < want {
		return &NotMigratedError{Have: have, Want: want}
	}
	return nil
}

func provider(db *sql.DB, options ...goose.ProviderOption) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("open the embedded migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, options...)
	if err != nil {
		return nil, fmt.Errorf("load the embedded migrations: %w", err)
	}
	return p, nil
}
