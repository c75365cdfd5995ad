package readmodel

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// aside is a schema with empty tables like a projection's, under the same names, so
// that the same statements fill them. It lives within one transaction.
type aside struct {
	schema, home string
	tables       []string
}

// setAside makes the tables, with their keys but without further indexes, and puts
// them first in the transaction's search path.
func setAside(ctx context.Context, tx pgx.Tx, p Projection) (aside, error) {
	a := aside{schema: "rebuild_" + p.ID, tables: p.tables}
	var path string
	if err := tx.QueryRow(ctx, "SELECT current_schema(), current_setting('search_path')").Scan(&a.home, &path); err != nil {
		return a, err
	}
	if _, err := tx.Exec(ctx, "CREATE SCHEMA "+quote(a.schema)); err != nil {
		return a, err
	}
	for _, t := range a.tables {
		_, err := tx.Exec(ctx, fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES)", quote(a.schema, t), quote(a.home, t)))
		if err != nil {
			return a, err
		}
		err = a.run(ctx, tx, t, `
			SELECT format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', $2::text, $3::text, conname, pg_get_constraintdef(oid))
			FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype IN ('p', 'u', 'x')
			UNION ALL
			SELECT format('ALTER TABLE %I.%I SET (%s)', $2::text, $3::text, array_to_string(reloptions, ', '))
			FROM pg_class WHERE oid = $1::text::regclass AND reloptions IS NOT NULL`)
		if err != nil {
			return a, err
		}
	}
	_, err := tx.Exec(ctx, "SELECT set_config('search_path', $1, true)", quote(a.schema)+", "+path)
	return a, err
}

// finish makes the tables what the old ones are: their other indexes, statistics
// and grants.
func (a aside) finish(ctx context.Context, tx pgx.Tx) error {
	for _, t := range a.tables {
		err := a.run(ctx, tx, t, `
			SELECT replace(pg_get_indexdef(i.indexrelid), format(' ON %s ', (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = i.indrelid)), format(' ON %I.%I ', $2::text, $3::text))
			FROM pg_index i
			WHERE i.indrelid = $1::text::regclass AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
			UNION ALL
			SELECT format('GRANT %s ON %I.%I TO %s', g.privilege_type, $2::text, $3::text,
				CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END)
			FROM pg_class t, aclexplode(t.relacl) g WHERE t.oid = $1::text::regclass AND g.grantee <> t.relowner
			UNION ALL
			SELECT format('ANALYZE %I.%I', $2::text, $3::text)`)
		if err != nil {
			return err
		}
	}
	return nil
}

// swap puts the tables into the place of the old ones.
func (a aside) swap(ctx context.Context, tx pgx.Tx) error {
	batch := &pgx.Batch{}
	for _, t := range a.tables {
		batch.Queue("DROP TABLE " + quote(a.home, t))
		batch.Queue("ALTER TABLE " + quote(a.schema, t) + " SET SCHEMA " + quote(a.home))
	}
	batch.Queue("DROP SCHEMA " + quote(a.schema))
	return tx.SendBatch(ctx, batch).Close()
}

// run runs the statements that a query over a table's catalogue returns. The query
// is given the old table, quoted, and the new one's schema and name.
func (a aside) run(ctx context.Context, tx pgx.Tx, table, query string) error {
	rows, err := tx.Query(ctx, query, quote(a.home, table), a.schema, table)
	if err != nil {
		return err
	}
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func quote(name ...string) string { return pgx.Identifier(name).Sanitize() }
