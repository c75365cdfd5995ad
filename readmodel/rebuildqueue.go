package readmodel

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// RebuildQueue makes the rows of one queue anew in all projections, from its stored
// events: beside the live ones, and then in their place, in one transaction. Readers see
// the old rows until it commits; live events wait while the new rows are copied.
//
// It takes a connection, and memory for rebuildBatch events. It returns the number of
// events, *NotFoundError for a queue without events, and *RebuildingError while a rebuild
// of a whole projection ends.
func (s *Store) RebuildQueue(ctx context.Context, queueID string) (events int64, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return 0, fmt.Errorf("rebuild queue %q: %w", queueID, err)
	}
	r := &queueRebuild{session: conn.Hijack(), queueID: queueID}
	defer closeSession(r.session)
	if err := r.run(ctx); err != nil {
		return 0, fmt.Errorf("rebuild queue %q: %w", queueID, err)
	}
	return r.version, nil
}

// queueRebuild is the rebuild of one queue, on a session of its own: that finds its
// temporary tables before the live ones.
type queueRebuild struct {
	session *pgx.Conn
	queueID string
	home    string // the schema of the live tables
	version int64  // the last that was applied
}

func (r *queueRebuild) run(ctx context.Context) error {
	if err := r.setAside(ctx); err != nil {
		return err
	}
	if err := r.replay(ctx); err != nil {
		return err
	}
	if r.version == 0 {
		return &NotFoundError{Kind: KindQueue, ID: r.queueID}
	}
	if _, err := lockVersions(ctx, r.session, []string{r.queueID}, Projections()); err != nil {
		return err
	}
	if err := r.replay(ctx); err != nil { // what has come meanwhile
		return err
	}
	return r.takeOver(ctx)
}

// setAside makes a temporary table for each of the live ones, with their keys. What the
// session has prepared for those is forgotten.
func (r *queueRebuild) setAside(ctx context.Context) error {
	if err := r.session.DeallocateAll(ctx); err != nil {
		return err
	}
	if err := r.session.QueryRow(ctx, "SELECT current_schema()").Scan(&r.home); err != nil {
		return err
	}
	batch := &pgx.Batch{}
	for _, table := range viewTables() {
		batch.Queue("CREATE TEMPORARY TABLE " + quote(table) + " (LIKE " + quote(r.home, table) + " INCLUDING ALL)")
	}
	return r.session.SendBatch(ctx, batch).Close()
}

// replay applies the events behind the version to the temporary tables.
func (r *queueRebuild) replay(ctx context.Context) error {
	for {
		page, err := eventsAfter(ctx, r.session, r.queueID, r.version, rebuildBatch)
		if err != nil || len(page) == 0 {
			return err
		}
		batch := &pgx.Batch{}
		for _, p := range Projections() {
			p.apply(batch, page)
		}
		if err := r.session.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		if r.version = page[len(page)-1].Metadata.Version; len(page) < rebuildBatch {
			return nil
		}
	}
}

// takeOver copies the rows into the live tables, and ends the transaction.
func (r *queueRebuild) takeOver(ctx context.Context) error {
	batch := &pgx.Batch{}
	for _, table := range viewTables() {
		batch.Queue("DELETE FROM "+quote(r.home, table)+" WHERE queue_id = $1", r.queueID)
		batch.Queue("INSERT INTO " + quote(r.home, table) + " SELECT * FROM " + quote(table))
	}
	reached := map[string]int64{}
	for _, p := range Projections() {
		reached[p.ID] = r.version
	}
	versions{r.queueID: reached}.queue(batch)
	batch.Queue("COMMIT")
	return r.session.SendBatch(ctx, batch).Close()
}

// viewTables are those of all projections.
func viewTables() (tables []string) {
	for _, p := range Projections() {
		tables = append(tables, p.tables...)
	}
	return tables
}
