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
		{name: "idle-transaction", what: "a transaction that does nothing stays open in the same database, for 60 s", lasts: time.Minute, strike: idleTransaction("")},
		{name: "idle-transaction-elsewhere", what: "the same in another database", lasts: time.Minute, strike: idleTransaction("postgres")},
		{name: "connections-exhausted", what: "PostgreSQL ends all connections and others take them, for 5 s", lasts: 5 * time.Second, strike: exhaustConnections},
		{name: "tables-locked", what: "all tables that are written are locked, so that every connection of the pools waits, for 5 s", lasts: 5 * time.Second, strike: lockTables},
		{name: "deadlocks", what: "another program locks rows against the projections' order, for 5 s", lasts: 5 * time.Second, strike: deadlocks},
		{name: "serialization-failures", what: "all transactions are SERIALIZABLE, for 5 s", lasts: 5 * time.Second, strike: setting("default_transaction_isolation", "serializable")},
		{name: "read-only", what: "the database is read-only, for 5 s", lasts: 5 * time.Second, strike: setting("default_transaction_read_only", "on")},
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

func idleTransaction(database string) func(context.Context, *system, time.Duration) error {
	return func(ctx context.Context, s *system, lasts time.Duration) error {
		conn, err := s.dial(ctx, database)
		if err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, "BEGIN; CREATE TEMP TABLE idle (); SELECT txid_current()"); err != nil {
			return errors.Join(err, conn.Close(ctx))
		}
		return during(ctx, lasts, func() error { return conn.Close(context.WithoutCancel(ctx)) })
	}
}

func exhaustConnections(ctx context.Context, s *system, lasts time.Duration) error {
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
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		conn, err := s.dial(ctx, "")
		if err != nil { // none is left
			pause(ctx, 20*time.Millisecond)
			continue
		}
		taken = append(taken, conn)
	}
	return release()
}

// lockTables may meet a transaction that holds a later table and waits for an earlier
// one: that one finds the deadlock first, and loses.
func lockTables(ctx context.Context, s *system, lasts time.Duration) error {
	conn, err := s.dial(ctx, "")
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `SET deadlock_timeout = '20s'; BEGIN; LOCK TABLE waiting_room_events, waiting_room_outbox, projection_queue_versions, waiting_queue_view, poison_messages
		IN ACCESS EXCLUSIVE MODE`)
	if err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	return during(ctx, lasts, func() error { return conn.Close(context.WithoutCancel(ctx)) })
}

// deadlocks locks rows of queues from the last to the first, which the projections
// lock from the first to the last. They find the deadlock first, and lose.
func deadlocks(ctx context.Context, s *system, lasts time.Duration) error {
	conn, err := s.dial(ctx, "")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "SET deadlock_timeout = '20s'"); err != nil {
		return err
	}
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		_, err := conn.Exec(ctx, `
			DO $$ DECLARE q TEXT; BEGIN
				FOR q IN SELECT aggregate_id FROM projection_queue_versions ORDER BY 1 DESC LIMIT 30 LOOP
					PERFORM FROM projection_queue_versions WHERE aggregate_id = q FOR UPDATE;
					PERFORM pg_sleep(0.02);
				END LOOP;
			END $$`)
		if err != nil {
			return err
		}
	}
	return nil
}

// setting changes a parameter for every session at once.
func setting(name, value string) func(context.Context, *system, time.Duration) error {
	return func(ctx context.Context, s *system, lasts time.Duration) error {
		set := func(statement string) error {
			return errors.Join(s.exec(ctx, statement), s.exec(ctx, "SELECT pg_reload_conf()"))
		}
		if err := set(fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", name, value)); err != nil {
			return err
		}
		return during(ctx, lasts, func() error { return set("ALTER SYSTEM RESET " + name) })
	}
}
