package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// UnsafeServerError says that the server would lose commits in a crash that it has
// acknowledged.
type UnsafeServerError struct {
	// Settings are those at fault, each as "name = value".
	Settings []string
}

func (e *UnsafeServerError) Error() string {
	return fmt.Sprintf("the database would lose acknowledged check-ins in a crash: %s; turn fsync, full_page_writes and synchronous_commit "+
		"on, for the server, the database and the role", strings.Join(e.Settings, ", "))
}

// CheckDurability returns *UnsafeServerError where a commit of the pool's sessions
// is not flushed before it is acknowledged, or a crash could tear a page.
// synchronous_commit may be anything but off: its other values all flush.
func CheckDurability(ctx context.Context, pool *pgxpool.Pool) error {
	rows, err := pool.Query(ctx, `
		SELECT name || ' = ' || setting FROM pg_settings
		WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off' ORDER BY name`)
	if err != nil {
		return fmt.Errorf("read the durability settings: %w", err)
	}
	unsafe, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("read the durability settings: %w", err)
	}
	if len(unsafe) > 0 {
		return &UnsafeServerError{Settings: unsafe}
	}
	return nil
}
