package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
)

func databaseFaults() []fault {
	return []fault{
		{
			name: "idle-transaction", what: "a transaction that does nothing stays open in the same database, for 60 s", lasts: time.Minute,
			strike: idleTransaction(""), evidence: hits("open transaction"), unnoticed: true,
		},
		{
			name: "idle-transaction-elsewhere", what: "the same in another database", lasts: time.Minute,
			strike: idleTransaction("postgres"), evidence: hits("open transaction"), unnoticed: true,
		},
		{
			name: "connections-exhausted", what: "PostgreSQL ends all connections and others take them, for 5 s", lasts: 5 * time.Second,
			strike: exhaustConnections, evidence: hits("connection that was refused"),
		},
		{
			name: "tables-locked", what: "all tables that are written are locked, so that every connection of the pools waits, for 5 s", lasts: 5 * time.Second,
			strike: lockTables, evidence: hits("session that waited"),
		},
		{
			name: "deadlocks", what: "another program locks rows against the projections' order, for 5 s", lasts: 5 * time.Second,
			strike: deadlocks, evidence: hits("deadlock"), unnoticed: true,
		},
		{
			name:  "serialization-failures",
			what:  "all transactions are SERIALIZABLE, and every fifth statement on the outbox and the projections' versions fails as one that cannot be serialized, for 5 s",
			lasts: 5 * time.Second, strike: failSerialization, evidence: hits("failed serialization"),
		},
		{
			name: "read-only", what: "the database is read-only, for 5 s", lasts: 5 * time.Second,
			strike: setting("default_transaction_read_only", "on"), evidence: askedAgain,
		},
	}
}

// dial connects past the links, to the system's database or another one.
func (s *system) dial(ctx context.Context, database string) (*pgx.Conn, error) {
	u, err := url.Parse(s.database.ConnString())
	if err != nil {
		return nil, err
	}
	if database != "" {
		u.Path = "/" + database
	}
	return pgx.Connect(ctx, u.String())
}

// count asks for a number, past the links.
func (s *system) count(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = s.pool.QueryRow(ctx, query, args...).Scan(&n)
	return n, err
}

func idleTransaction(database string) func(context.Context, *strike) error {
	return func(ctx context.Context, s *strike) error {
		conn, err := s.dial(ctx, database)
		if err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, "BEGIN; CREATE TEMP TABLE idle (); SELECT txid_current()"); err != nil {
			return errors.Join(err, conn.Close(ctx))
		}
		pid := conn.PgConn().PID()
		return s.during(ctx, func() error {
			open, err := s.count(ctx, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'idle in transaction' AND backend_xid IS NOT NULL", pid)
			s.hit(open)
			return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
		})
	}
}

// takeLimit bounds how long it takes until no connection is left.
const takeLimit = 10 * time.Second

func exhaustConnections(ctx context.Context, s *strike) error {
	var taken []*pgx.Conn
	release := func() error {
		var errs []error
		for _, conn := range taken {
			errs = append(errs, conn.Close(context.WithoutCancel(ctx)))
		}
		return errors.Join(errs...)
	}
	if err := s.exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'rlapp-%'"); err != nil {
		return err
	}
	end := time.Now().Add(takeLimit)
	for time.Now().Before(end) {
		conn, err := s.dial(ctx, "")
		if err == nil {
			taken = append(taken, conn)
			continue
		}
		if s.hit(1); s.hits == 1 { // none is left
			end = time.Now().Add(s.lasts)
		}
		pause(ctx, 20*time.Millisecond)
	}
	return release()
}

// lockTables may meet a transaction that holds a later table and waits for an earlier
// one: that one finds the deadlock first, and loses.
func lockTables(ctx context.Context, s *strike) error {
	conn, err := s.dial(ctx, "")
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `SET deadlock_timeout = '20s'; BEGIN; LOCK TABLE waiting_room_events, waiting_room_outbox, projection_queue_versions, waiting_queue_view, poison_messages
		IN ACCESS EXCLUSIVE MODE`)
	if err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	pause(ctx, s.lasts)
	waiting, err := s.count(ctx, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'rlapp-%' AND wait_event_type = 'Lock'")
	s.hit(waiting)
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}

const countDeadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"

// deadlocks takes rows of the round's queues against the order of the projections, as
// often as there is time for.
func deadlocks(ctx context.Context, s *strike) error {
	before, err := s.count(ctx, countDeadlocks)
	if err != nil {
		return err
	}
	conn, err := s.dial(ctx, "")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "SET deadlock_timeout = '20s'"); err != nil {
		return err
	}
	var late *lateError // nothing is sent any more, or nothing was counted: the evidence tells
	for end := time.Now().Add(s.lasts); err == nil && time.Now().Before(end); {
		err = s.deadlock(ctx, conn)
	}
	if err != nil && !errors.As(err, &late) {
		return err
	}
	// The loser's session tells of it about a second later.
	err = until(ctx, 3*time.Second, func() (bool, error) {
		after, err := s.count(ctx, countDeadlocks)
		s.hits = after - before
		return s.hits > 0, err
	})
	if errors.As(err, &late) {
		return nil
	}
	return err
}

// deadlock lets events pile up behind the last queues, so that the next transaction of
// the projections has rows of the first ones when it waits for the last ones again. Then
// it wants those of the first ones. The projections find the deadlock first, and lose.
func (s *strike) deadlock(ctx context.Context, conn *pgx.Conn) error {
	lock := func(half int, how string) error {
		_, err := conn.Exec(ctx, fmt.Sprintf(`
			SELECT FROM projection_queue_versions WHERE aggregate_id IN (
				SELECT aggregate_id FROM (
					SELECT aggregate_id, ntile(2) OVER (ORDER BY aggregate_id) AS half FROM projection_queue_versions WHERE starts_with(aggregate_id, '%s')
				) AS q WHERE half = %d
			) FOR UPDATE %s`, s.work.prefix, half, how))
		return err
	}
	if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return lock(2, "") },
		func() error { return s.waiting(ctx, "rlapp-projections") },
		func() error { pause(ctx, 100*time.Millisecond); return nil },
		func() error { _, err := conn.Exec(ctx, "COMMIT AND CHAIN"); return err },
		func() error { return lock(2, "SKIP LOCKED") }, // what waited goes on; the next one comes at once
		func() error { return s.waiting(ctx, "rlapp-projections") },
		func() error { return lock(1, "") },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	_, err := conn.Exec(ctx, "COMMIT")
	return err
}

// change changes parameters for every session at once, or back.
func (s *system) change(ctx context.Context, statement string) error {
	return errors.Join(s.exec(ctx, statement), s.exec(ctx, "SELECT pg_reload_conf()"))
}

// setting changes a parameter for every session.
func setting(name, value string) func(context.Context, *strike) error {
	return func(ctx context.Context, s *strike) error {
		if err := s.change(ctx, fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", name, value)); err != nil {
			return err
		}
		return s.during(ctx, func() error { return s.change(ctx, "ALTER SYSTEM RESET "+name) })
	}
}

// failSerialization lets statements fail that the relay, the API and the projections
// need. Sequences count on when a transaction is rolled back.
func failSerialization(ctx context.Context, s *strike) error {
	err := s.exec(ctx, `
		CREATE SEQUENCE IF NOT EXISTS faults_statements;
		CREATE SEQUENCE IF NOT EXISTS faults_failures;
		CREATE OR REPLACE FUNCTION faults_fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('faults_statements') % 5 = 0 THEN
				PERFORM nextval('faults_failures');
				RAISE EXCEPTION 'could not serialize access' USING ERRCODE = 'serialization_failure';
			END IF;
			RETURN NULL;
		END $$`)
	if err != nil {
		return err
	}
	const failures = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM faults_failures"
	before, err := s.count(ctx, failures)
	if err != nil {
		return err
	}
	each := func(statement string) (errs []error) {
		for _, table := range []string{"waiting_room_outbox", "projection_queue_versions"} {
			errs = append(errs, s.exec(ctx, fmt.Sprintf(statement, table)))
		}
		return errs
	}
	if err := errors.Join(each("CREATE TRIGGER faults_fail BEFORE INSERT OR UPDATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION faults_fail()")...); err != nil {
		return err
	}
	err = setting("default_transaction_isolation", "serializable")(ctx, s)
	err = errors.Join(append(each("DROP TRIGGER faults_fail ON %s"), err)...)
	after, countErr := s.count(ctx, failures)
	s.hit(after - before)
	return errors.Join(err, countErr)
}
