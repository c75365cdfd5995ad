package readmodel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	rebuildReplaying  = "REPLAYING"
	rebuildCatchingUp = "CATCHING_UP"
)

// buildID tells builds of the program apart: another one may project differently, so
// it begins anew what this one began. It is empty where the program cannot be read.
var buildID = sync.OnceValue(func() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
})

// begin goes on with a rebuild of this build that was broken off, or makes empty tables.
func (r *rebuild) begin(ctx context.Context) error {
	if err := r.resume(ctx); err != nil || r.status != "" {
		return err
	}
	r.status, r.reached = rebuildReplaying, map[string]int64{}
	err := r.session.QueryRow(ctx, `
		INSERT INTO projection_rebuilds AS r (projection_id, status, build, total_position)
		VALUES ($1, 'REPLAYING', $2, (SELECT coalesce(max(position), 0) FROM waiting_room_events))
		ON CONFLICT (projection_id) DO UPDATE
		SET status = EXCLUDED.status, rollback = false, build = EXCLUDED.build, total_position = EXCLUDED.total_position,
		    applied_archive = 0, applied_position = 0, events = 0, differences = NULL, error = NULL,
		    started_at = now(), updated_at = now(), ended_at = NULL
		RETURNING total_position`, r.projection.ID, buildID()).Scan(&r.done.Total)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, r.session, func(tx pgx.Tx) (err error) {
		r.aside, err = setAside(ctx, tx, r.projection)
		return err
	})
	if err != nil {
		return err
	}
	return r.aside.lookHere(ctx, r.session)
}

// resume sets the status where there is a rebuild to go on with.
func (r *rebuild) resume(ctx context.Context) error {
	var status, build string
	err := r.session.QueryRow(ctx, `
		SELECT status, rollback, build, total_position, applied_archive, applied_position, events FROM projection_rebuilds
		WHERE projection_id = $1 AND status IN ('REPLAYING', 'CATCHING_UP')`, r.projection.ID).
		Scan(&status, &r.rollback, &build, &r.done.Total, &r.place.archive, &r.place.position, &r.done.Events)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	a, fits, err := findAside(ctx, r.session, r.projection, rebuildSchema(r.projection))
	if err != nil {
		return err
	}
	if !fits || !r.rollback && (build == "" || build != buildID()) {
		r.rollback, r.place, r.done = false, place{}, Progress{}
		return nil
	}
	r.aside, r.last = a, r.place.position
	if r.reached, err = a.versions(ctx, r.session); err != nil {
		return err
	}
	r.status = status
	return a.lookHere(ctx, r.session)
}

// beginRollBack takes the tables that the last rebuild replaced.
func (r *rebuild) beginRollBack(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, r.session, func(tx pgx.Tx) error {
		kept, fits, err := findAside(ctx, tx, r.projection, previousSchema(r.projection))
		if err == nil {
			err = previousFits(r.projection, kept, fits)
		}
		if err != nil {
			return err
		}
		if r.aside, err = kept.rename(ctx, tx, rebuildSchema(r.projection)); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			UPDATE projection_rebuilds
			SET status = 'CATCHING_UP', rollback = true, differences = NULL, error = NULL, started_at = now(), updated_at = now(), ended_at = NULL
			WHERE projection_id = $1 RETURNING total_position, applied_position, events`, r.projection.ID).
			Scan(&r.done.Total, &r.last, &r.done.Events)
	})
	if err != nil {
		return err
	}
	r.status, r.rollback = rebuildCatchingUp, true
	if r.reached, err = r.aside.versions(ctx, r.session); err != nil {
		return err
	}
	return r.aside.lookHere(ctx, r.session)
}

// canRollBack tells early what beginRollBack would.
func (s *Store) canRollBack(ctx context.Context, p Projection) error {
	kept, fits, err := findAside(ctx, s.pool, p, previousSchema(p))
	if err != nil {
		return fmt.Errorf("look for the previous read model of %s: %w", p.ID, err)
	}
	return previousFits(p, kept, fits)
}

// notRebuilding returns *RebuildRunningError for the first of the projections that any
// process is rebuilding. It looks at the locks and takes none, not even for a moment:
// that could be the moment in which a rebuild tries its own.
func (s *Store) notRebuilding(ctx context.Context, projections []Projection) error {
	ids := make([]string, len(projections))
	for i, p := range projections {
		ids[i] = p.ID
	}
	var running string
	err := s.pool.QueryRow(ctx, `
		SELECT p.id FROM unnest($2::text[]) WITH ORDINALITY AS p (id, place)
		WHERE EXISTS (
			SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
			WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted
			  AND l.classid = $1 AND l.objid = (hashtext(p.id)::bigint & 4294967295)::oid AND l.objsubid = 2) -- a lock of two integers
		ORDER BY p.place LIMIT 1`, rebuildLockClass, ids).Scan(&running)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("look for running rebuilds: %w", err)
	}
	return &RebuildRunningError{ProjectionID: running}
}

func previousFits(p Projection, kept aside, fits bool) error {
	switch {
	case kept.schema == "":
		return &NotFoundError{Kind: "previous read model of projection", ID: p.ID}
	case !fits:
		return &PreviousError{ProjectionID: p.ID}
	}
	return nil
}

func (r *rebuild) setStatus(ctx context.Context, tx pgx.Tx, status string) error {
	r.status = status
	_, err := tx.Exec(ctx, "UPDATE projection_rebuilds SET status = $2, updated_at = now() WHERE projection_id = $1", r.projection.ID, status)
	return err
}

// giveUp notes why a rebuild failed, and puts away what it has made: the kept tables
// back to where they were.
func (r *rebuild) giveUp(ctx context.Context, why error) error {
	if r.status == "" {
		return nil // it has not begun
	}
	return pgx.BeginFunc(ctx, r.session, func(tx pgx.Tx) error {
		var err error
		if r.rollback {
			_, err = r.aside.rename(ctx, tx, previousSchema(r.projection))
		} else {
			err = r.aside.drop(ctx, tx)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE projection_rebuilds SET status = 'FAILED', error = $2, ended_at = now(), updated_at = now() WHERE projection_id = $1",
			r.projection.ID, why.Error())
		return err
	})
}

// PreviousError says that the replaced tables of a projection no longer fit: a
// migration has changed the live ones since.
type PreviousError struct{ ProjectionID string }

func (e *PreviousError) Error() string {
	return fmt.Sprintf("the previous read model of projection %q has other columns than the live one; rebuild the projection instead", e.ProjectionID)
}

// RebuildState is how the last rebuild of a projection stands, in whatever process.
type RebuildState struct {
	ProjectionID string
	// Status is REPLAYING, CATCHING_UP, DONE or FAILED.
	Status string
	// RollBack says that it puts the replaced tables back.
	RollBack bool
	// Events is the number applied so far, of about Total at most.
	Events, Total int64
	// Differences are those between the rebuilt and the live rows, once compared.
	Differences []Difference
	Error       *string
	StartedAt   time.Time
	UpdatedAt   time.Time
	EndedAt     *time.Time
}

const selectRebuilds = `
	SELECT projection_id, status, rollback, events, greatest(total_position, events), coalesce(differences, '[]'), error, started_at, updated_at, ended_at
	FROM projection_rebuilds `

// RebuildStateOf returns how the last rebuild of a projection stands, or
// *NotFoundError where there was none.
func (s *Store) RebuildStateOf(ctx context.Context, projectionID string) (RebuildState, error) {
	rows, err := s.pool.Query(ctx, selectRebuilds+"WHERE projection_id = $1", projectionID)
	if err != nil {
		return RebuildState{}, fmt.Errorf("read the rebuild of %s: %w", projectionID, err)
	}
	return one(rows, pgx.RowToStructByPos[RebuildState], "rebuild of projection", projectionID)
}

// UnfinishedRebuilds returns the projections whose rebuild has not ended, be it that
// it runs or that it was broken off.
func (s *Store) UnfinishedRebuilds(ctx context.Context) ([]RebuildState, error) {
	rows, err := s.pool.Query(ctx, selectRebuilds+"WHERE status IN ('REPLAYING', 'CATCHING_UP') ORDER BY started_at")
	if err != nil {
		return nil, fmt.Errorf("read the unfinished rebuilds: %w", err)
	}
	states, err := pgx.CollectRows(rows, pgx.RowToStructByPos[RebuildState])
	if err != nil {
		return nil, fmt.Errorf("read the unfinished rebuilds: %w", err)
	}
	return states, nil
}
