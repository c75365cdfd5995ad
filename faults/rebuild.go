package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	rebuildReplaying = "REPLAYING"
	rebuildDone      = "DONE"
)

// rebuildRow is how the last rebuild of a projection stands, and when that was read, by
// the database's clock.
type rebuildRow struct {
	Status     string
	Events     int64
	StartedAt  time.Time
	EndedAt    time.Time
	Different  int64
	Which, Why string
	At         time.Time
}

// rebuildOf reads it past the API; zero where there was none.
func (s *system) rebuildOf(ctx context.Context, projection string) (row rebuildRow, err error) {
	rows, err := s.pool.Query(ctx, `
		SELECT status, events, started_at, coalesce(ended_at, 'epoch'), different, which, coalesce(error, ''), clock_timestamp()
		FROM projection_rebuilds CROSS JOIN LATERAL (
			SELECT coalesce(sum(n), 0)::bigint AS different, coalesce(string_agg(d::text, ' ') FILTER (WHERE n > 0), '') AS which
			FROM jsonb_array_elements(differences) d, LATERAL (SELECT (d ->> 'onlyLive')::bigint + (d ->> 'onlyRebuilt')::bigint) AS rows (n)
		) AS found WHERE projection_id = $1`, projection)
	if err != nil {
		return row, err
	}
	row, err = pgx.CollectOneRow(rows, pgx.RowToStructByPos[rebuildRow])
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return row, err
}

// orderRebuild orders the rebuild of a projection, again where the last one ends just now.
func (s *system) orderRebuild(ctx context.Context, projection string) error {
	return until(ctx, 10*time.Second, func() (bool, error) {
		var ignored map[string]any
		return true, s.ask(ctx, http.MethodPost, "/api/projections/rebuild?projectionId="+projection, "", &ignored)
	})
}

// rebuildLimit bounds the rebuild of one projection.
const rebuildLimit = 2 * time.Minute

// rebuilt waits for the end of a rebuild that began after the one before, and returns
// *differenceError where the live rows were others than it made of the same events.
func (s *system) rebuilt(ctx context.Context, projection string, before rebuildRow) (row rebuildRow, err error) {
	err = until(ctx, rebuildLimit, func() (bool, error) {
		row, err = s.rebuildOf(ctx, projection)
		return row.StartedAt.After(before.StartedAt) && row.EndedAt.After(row.StartedAt), err
	})
	switch {
	case err != nil:
		return row, fmt.Errorf("wait for the rebuild of %s: %w", projection, err)
	case row.Status != rebuildDone:
		return row, fmt.Errorf("the rebuild of %s is %s: %s", projection, row.Status, row.Why)
	case row.Different > 0:
		return row, &differenceError{projection: projection, rows: row.Different, which: row.Which}
	}
	return row, nil
}

// differenceError says that a read model is not what its events say.
type differenceError struct {
	projection, which string
	rows              int64
}

func (e *differenceError) Error() string {
	return fmt.Sprintf("%d rows of %s are not what the events say: %s", e.rows, e.projection, e.which)
}

// compare rebuilds all read models and returns how the live rows were others.
func (s *system) compare(ctx context.Context) (different []*differenceError, err error) {
	for _, projection := range projectionIDs() {
		before, err := s.rebuildOf(ctx, projection)
		if err != nil {
			return nil, err
		}
		if err := s.orderRebuild(ctx, projection); err != nil {
			return nil, err
		}
		_, err = s.rebuilt(ctx, projection, before)
		var unequal *differenceError
		if errors.As(err, &unequal) {
			different = append(different, unequal)
		} else if err != nil {
			return nil, err
		}
	}
	return different, nil
}
