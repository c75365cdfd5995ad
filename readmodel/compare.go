package readmodel

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Difference is how the rebuilt rows of a table differ from the live ones, at one
// position. Queues of which the live projection lacks events are not compared.
type Difference struct {
	Table string `json:"table"`
	// OnlyLive and OnlyRebuilt count the rows that the other one has not, or has
	// otherwise.
	OnlyLive    int64 `json:"onlyLive"`
	OnlyRebuilt int64 `json:"onlyRebuilt"`
	// Queues are the first ten that have such rows.
	Queues []string `json:"queues"`
}

// compare brings the rebuilt tables to where the live ones are, and compares them as
// they are at that moment: live events wait for that moment and not for the comparing.
func (r *rebuild) compare(ctx context.Context) (differences []Difference, err error) {
	conn, err := r.store.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := r.atOnePosition(ctx, tx); err != nil {
			return err
		}
		for _, table := range r.aside.tables {
			d, err := r.differences(ctx, tx, table)
			if err != nil {
				return fmt.Errorf("compare %s: %w", table, err)
			}
			differences = append(differences, d)
		}
		return nil
	})
	return differences, err
}

// atOnePosition lets a transaction take its snapshot when both have the same events.
func (r *rebuild) atOnePosition(ctx context.Context, tx pgx.Tx) error {
	if _, err := r.session.Exec(ctx, "SELECT pg_advisory_lock($1, hashtext($2))", projectionLockClass, r.projection.ID); err != nil {
		return err
	}
	if _, err := r.catchUp(ctx); err != nil {
		return err // the session, and with it the lock, ends
	}
	if _, err := tx.Exec(ctx, "SELECT"); err != nil {
		return err
	}
	_, err := r.session.Exec(ctx, "SELECT pg_advisory_unlock($1, hashtext($2))", projectionLockClass, r.projection.ID)
	return err
}

func (r *rebuild) differences(ctx context.Context, tx pgx.Tx, table string) (Difference, error) {
	live, rebuilt := quote(r.aside.home, table), quote(r.aside.schema, table)
	var columns string
	err := tx.QueryRow(ctx, `
		SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'projected_at'`, live).Scan(&columns)
	if err != nil {
		return Difference{}, err
	}
	d := Difference{Table: table}
	err = tx.QueryRow(ctx, fmt.Sprintf(`
		WITH unequal AS MATERIALIZED (
			SELECT aggregate_id FROM projection_queue_versions l FULL JOIN %[4]s r USING (aggregate_id)
			WHERE (l.versions ->> $1)::bigint IS DISTINCT FROM r.version
		), live AS (
			SELECT %[1]s FROM %[2]s WHERE queue_id NOT IN (SELECT aggregate_id FROM unequal)
		), rebuilt AS (
			SELECT %[1]s FROM %[3]s WHERE queue_id NOT IN (SELECT aggregate_id FROM unequal)
		), only_live AS MATERIALIZED (
			SELECT * FROM live EXCEPT SELECT * FROM rebuilt
		), only_rebuilt AS MATERIALIZED (
			SELECT * FROM rebuilt EXCEPT SELECT * FROM live
		)
		SELECT (SELECT count(*) FROM only_live), (SELECT count(*) FROM only_rebuilt),
		       ARRAY(SELECT queue_id FROM only_live UNION SELECT queue_id FROM only_rebuilt ORDER BY 1 LIMIT 10)`,
		columns, live, rebuilt, quote(r.aside.schema, versionsTable)), r.projection.ID).Scan(&d.OnlyLive, &d.OnlyRebuilt, &d.Queues)
	return d, err
}
