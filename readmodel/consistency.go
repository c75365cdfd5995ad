package readmodel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// BehindError says that a projection has not applied an event yet.
type BehindError struct {
	ProjectionID string
	Position     int64
}

func (e *BehindError) Error() string {
	return fmt.Sprintf("projection %s has not applied the event at position %d yet; ask again in a moment", e.ProjectionID, e.Position)
}

// The pauses between two looks at a projection; it mostly follows within milliseconds.
const (
	firstLook = 2 * time.Millisecond
	lastLook  = 50 * time.Millisecond
)

// WaitFor waits until projections have applied the event at a global position, or the
// last one before it where there is none. It returns *BehindError when ctx ends first.
func (s *Store) WaitFor(ctx context.Context, position int64, projections ...Projection) error {
	pause := firstLook
	for _, p := range projections {
		for {
			applied, err := s.applied(ctx, p, position)
			if applied && err == nil {
				break
			}
			if err != nil && ctx.Err() == nil {
				return err
			}
			timer := time.NewTimer(pause)
			select {
			case <-ctx.Done():
				timer.Stop()
				return &BehindError{ProjectionID: p.ID, Position: position}
			case <-timer.C:
			}
			pause = min(2*pause, lastLook)
		}
	}
	return nil
}

func (s *Store) applied(ctx context.Context, p Projection, position int64) (applied bool, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT coalesce((v.versions->>$2)::bigint, 0) >= e.version
		FROM (SELECT aggregate_id, version FROM waiting_room_events WHERE position <= $1 ORDER BY position DESC LIMIT 1) AS e
		LEFT JOIN projection_queue_versions v ON v.aggregate_id = e.aggregate_id`, position, p.ID).Scan(&applied)
	if errors.Is(err, pgx.ErrNoRows) {
		return true, nil // there is nothing to wait for
	}
	if err != nil {
		return false, fmt.Errorf("look how far projection %s is: %w", p.ID, err)
	}
	return applied, nil
}
