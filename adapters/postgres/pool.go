package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/rlapp/rlapp/schema"
)

// PoolConfig says how to connect. The zero value is ready for use.
type PoolConfig struct {
	// MaxConnections bounds the pool. Default: pgxpool's, the larger of 4 and the number of CPUs.
	MaxConnections int
	// ApplicationName shows in pg_stat_activity. Default: "rlapp".
	ApplicationName string
	// ConnectTimeout bounds one attempt to connect. Default: 5 s.
	ConnectTimeout time.Duration
}

// Open returns a pool for a connection string in URL or key=value form. It
// connects lazily: a database that is away shows at the first query.
func Open(ctx context.Context, connString string, config PoolConfig) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(connString)
	if err != nil {
		return nil, fmt.Errorf("read the connection string: %w", err)
	}
	if config.MaxConnections > 0 {
		c.MaxConns = int32(min(config.MaxConnections, 10_000))
	}
	if config.ApplicationName == "" {
		config.ApplicationName = "rlapp"
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	// What the operator says in the connection string wins.
	if !strings.Contains(connString, "connect_timeout") {
		c.ConnConfig.ConnectTimeout = config.ConnectTimeout
	}
	if c.ConnConfig.RuntimeParams["application_name"] == "" {
		c.ConnConfig.RuntimeParams["application_name"] = config.ApplicationName
	}
	c.ConnConfig.RuntimeParams["timezone"] = "UTC"
	// Every statement of ours has an index. A sequential scan is chosen only while
	// the statistics are older than the rows, as in the first minute of a busy
	// start, and its plan is then kept: the relay's lag tripled within 2,500 events.
	c.ConnConfig.RuntimeParams["enable_seqscan"] = "off"
	// A bitmap has no order, so a read of the first rows would read and sort all; and
	// it passes over dead rows without telling the index that they are.
	c.ConnConfig.RuntimeParams["enable_bitmapscan"] = "off"
	// A lookup by key for each of some ids, never a hash over all rows: the plan of a
	// statement that joins arrays is made once, when the tables may still be small.
	c.ConnConfig.RuntimeParams["enable_hashjoin"] = "off"
	c.ConnConfig.RuntimeParams["enable_mergejoin"] = "off"
	// One plan for each statement, made once: what the values are makes no difference
	// to a lookup by key, and statements with arrays were planned anew four times in ten.
	c.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	// Compiling takes longer than any statement of ours runs.
	c.ConnConfig.RuntimeParams["jit"] = "off"
	// Helpers are processes that are started for each statement: with them a chunk of a
	// large backlog took twice as long to read.
	c.ConnConfig.RuntimeParams["max_parallel_workers_per_gather"] = "0"
	// pgx asks after one second whether a connection is alive, which would double the
	// queries of an idle system and add a round trip to a lone check-in.
	c.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > askAfter }
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open the connection pool: %w", err)
	}
	return pool, nil
}

// askAfter is how long a connection may be idle until it is asked whether it is alive
// before it is used: longer than the relay's usual poll, which keeps one in use.
const askAfter = 6 * time.Second

// Migrate brings the database behind the pool to this build's schema.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	return withDB(pool, func(db *sql.DB) error { return schema.Migrate(ctx, db) })
}

// CheckSchema returns *schema.NotMigratedError where the database lacks
// migrations that this build needs.
func CheckSchema(ctx context.Context, pool *pgxpool.Pool) error {
	return withDB(pool, func(db *sql.DB) error { return schema.Check(ctx, db) })
}

func withDB(pool *pgxpool.Pool, do func(*sql.DB) error) error {
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	return do(db)
}
