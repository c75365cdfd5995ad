package postgres_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Wrap(m)) }

// newPool returns a pool on a migrated database of the test's own.
func newPool(t *testing.T) *pgxpool.Pool {
	t.Helper()
	return open(t, postgrestest.Migrated(t))
}

func open(t testing.TB, connString string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), connString, postgres.PoolConfig{MaxConnections: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

var tenOClock = time.Date(2026, 2, 19, 10, 0, 0, 0, time.UTC)
