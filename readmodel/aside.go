package readmodel

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// aside is a schema with tables like a projection's, under the same names, so that the
// same statements fill them, and with the versions of the queues that they have.
type aside struct {
	schema, home string
	tables       []string
}

func rebuildSchema(p Projection) string  { return "rebuild_" + p.ID }
func previousSchema(p Projection) string { return "previous_" + p.ID }

// versionsTable is beside the tables of an aside.
const versionsTable = "queue_versions"

// querier is a session or its transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// setAside makes the tables anew, with their keys but without further indexes. It
// returns *DependentViewError where views would go on reading the old ones.
func setAside(ctx context.Context, tx pgx.Tx, p Projection) (a aside, err error) {
	a = aside{schema: rebuildSchema(p), tables: p.tables}
	if err := tx.QueryRow(ctx, "SELECT current_schema()").Scan(&a.home); err != nil {
		return a, err
	}
	if err := a.refuseViews(ctx, tx, p); err != nil {
		return a, err
	}
	statements := []string{
		"DROP SCHEMA IF EXISTS " + quote(a.schema) + " CASCADE", "CREATE SCHEMA " + quote(a.schema),
		"CREATE TABLE " + quote(a.schema, versionsTable) + " (aggregate_id TEXT PRIMARY KEY, version BIGINT NOT NULL)",
	}
	for _, t := range a.tables {
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES)", quote(a.schema, t), quote(a.home, t)))
	}
	if err := execAll(ctx, tx, statements); err != nil {
		return a, err
	}
	for _, t := range a.tables {
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
	return a, nil
}

// findAside finds the tables that are in a schema, and says whether they are as the
// live ones are. The schema is empty where there are none.
func findAside(ctx context.Context, q querier, p Projection, schemaName string) (a aside, fits bool, err error) {
	a = aside{schema: schemaName, tables: p.tables}
	var there bool
	err = q.QueryRow(ctx, "SELECT current_schema(), EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schemaName).Scan(&a.home, &there)
	if err != nil || !there {
		return aside{}, false, err
	}
	err = q.QueryRow(ctx, `
		WITH columns AS (
			SELECT table_schema, table_name, column_name, data_type, is_nullable FROM information_schema.columns
			WHERE table_schema IN ($1, $2) AND table_name = ANY($3)
		)
		SELECT NOT EXISTS (
			SELECT FROM (SELECT * FROM columns WHERE table_schema = $1) AS live
			FULL JOIN (SELECT * FROM columns WHERE table_schema = $2) AS other USING (table_name, column_name, data_type, is_nullable)
			WHERE live.table_schema IS NULL OR other.table_schema IS NULL)`, a.home, a.schema, a.tables).Scan(&fits)
	return a, fits, err
}

// lookHere lets a session find these tables before the live ones.
func (a aside) lookHere(ctx context.Context, session *pgx.Conn) error {
	_, err := session.Exec(ctx, "SELECT set_config('search_path', $1 || ', ' || current_setting('search_path'), false)", quote(a.schema))
	return err
}

func (a aside) versions(ctx context.Context, q querier) (map[string]int64, error) {
	rows, err := q.Query(ctx, "SELECT aggregate_id, version FROM "+quote(a.schema, versionsTable))
	if err != nil {
		return nil, err
	}
	var (
		queueID string
		version int64
		all     = map[string]int64{}
	)
	_, err = pgx.ForEachRow(rows, []any{&queueID, &version}, func() error {
		all[queueID] = version
		return nil
	})
	return all, err
}

func (a aside) queueVersions(batch *pgx.Batch, queueIDs []string, versions []int64) {
	if len(queueIDs) > 0 {
		batch.Queue(`INSERT INTO `+quote(a.schema, versionsTable)+` SELECT * FROM unnest($1::text[], $2::bigint[])
			ON CONFLICT (aggregate_id) DO UPDATE SET version = EXCLUDED.version`, queueIDs, versions)
	}
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

// swap puts the tables into the place of the old ones, and those into the schema of
// the previous ones, with the versions that they have.
func (a aside) swap(ctx context.Context, tx pgx.Tx, p Projection) error {
	if err := a.refuseViews(ctx, tx, p); err != nil {
		return err
	}
	previous := previousSchema(p)
	statements := []string{"DROP SCHEMA IF EXISTS " + quote(previous) + " CASCADE", "CREATE SCHEMA " + quote(previous)}
	for _, t := range a.tables {
		statements = append(statements,
			"ALTER TABLE "+quote(a.home, t)+" SET SCHEMA "+quote(previous), "ALTER TABLE "+quote(a.schema, t)+" SET SCHEMA "+quote(a.home))
	}
	statements = append(statements, "ALTER TABLE "+quote(a.schema, versionsTable)+" SET SCHEMA "+quote(previous),
		"TRUNCATE "+quote(previous, versionsTable), "DROP SCHEMA "+quote(a.schema))
	if err := execAll(ctx, tx, statements); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "INSERT INTO "+quote(previous, versionsTable)+
		" SELECT aggregate_id, (versions ->> $1)::bigint FROM projection_queue_versions WHERE versions ? $1", p.ID)
	return err
}

// execAll runs statements one after another: one may need what another makes.
func execAll(ctx context.Context, tx pgx.Tx, statements []string) error {
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (a aside) drop(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "DROP SCHEMA IF EXISTS "+quote(a.schema)+" CASCADE")
	return err
}

func (a aside) rename(ctx context.Context, tx pgx.Tx, schemaName string) (aside, error) {
	_, err := tx.Exec(ctx, "ALTER SCHEMA "+quote(a.schema)+" RENAME TO "+quote(schemaName))
	a.schema = schemaName
	return a, err
}

// DependentViewError says that a projection cannot be rebuilt because views read its
// tables: they would go on reading the replaced ones.
type DependentViewError struct {
	ProjectionID string
	Views        []string
}

func (e *DependentViewError) Error() string {
	return fmt.Sprintf("projection %q cannot be rebuilt while views read its tables: %s; drop them and make them again afterwards",
		e.ProjectionID, strings.Join(e.Views, ", "))
}

func (a aside) refuseViews(ctx context.Context, tx pgx.Tx, p Projection) error {
	var live []string
	for _, t := range a.tables {
		live = append(live, quote(a.home, t))
	}
	rows, err := tx.Query(ctx, `
		SELECT DISTINCT w.ev_class::regclass::text FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid
		WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
		  AND d.refobjid IN (SELECT t::regclass FROM unnest($1::text[]) AS t) ORDER BY 1`, live)
	if err != nil {
		return err
	}
	views, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if len(views) > 0 {
		return &DependentViewError{ProjectionID: p.ID, Views: views}
	}
	return nil
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
	return execAll(ctx, tx, statements)
}

func quote(name ...string) string { return pgx.Identifier(name).Sanitize() }
