package postgres_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/embedded"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
)

func openPool(t *testing.T, connString string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), connString, postgres.PoolConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func TestASafeServerIsAccepted(t *testing.T) {
	if err := postgres.CheckDurability(t.Context(), openPool(t, postgrestest.New(t))); err != nil {
		t.Error(err)
	}
}

func TestAServerThatWouldLoseCommitsIsRefused(t *testing.T) {
	// Go's own directories of a test are closed to the server's user.
	directory, err := os.MkdirTemp("", "rlapp-unsafe") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(directory) }()
	unsafe, err := embedded.Start(t.Context(), embedded.Config{
		DataDirectory: directory, Parameters: map[string]string{"fsync": "off", "full_page_writes": "off"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unsafe.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	async := postgrestest.New(t)
	for name, test := range map[string]struct {
		connString string
		prepare    string
		want       []string
	}{
		"the server": {unsafe.ConnString(), "SELECT 1", []string{"fsync = off", "full_page_writes = off"}},
		"the sessions": {
			async, `DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || quote_ident(current_database()) || ' SET synchronous_commit = off'; END $$`,
			[]string{"synchronous_commit = off"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := openPool(t, test.connString).Exec(t.Context(), test.prepare); err != nil {
				t.Fatal(err)
			}
			err := postgres.CheckDurability(t.Context(), openPool(t, test.connString))
			var refusal *postgres.UnsafeServerError
			if !errors.As(err, &refusal) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(test.want, refusal.Settings); diff != "" {
				t.Errorf("settings differ (-want +got):\n%s", diff)
			}
		})
	}
}
