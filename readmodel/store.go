package readmodel

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Store applies events to views and answers queries. It is safe for concurrent
// use, also by several processes.
type Store struct{ pool *pgxpool.Pool }

// NewStore returns a store over the pool.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// GapError is returned when an event arrived before an earlier one of its queue
// that the event store does not show either. Trying again helps once it does.
type GapError struct {
	QueueID    string
	Have, Want int64
}

func (e *GapError) Error() string {
	return fmt.Sprintf("queue %q is at version %d in the view and the events up to %d are not in the store yet", e.QueueID, e.Have, e.Want)
}

// RebuildingError is returned for an event that comes while the rebuilt tables of
// its projection take the place of the old ones. It is to come again: waiting
// here would hold a connection.
type RebuildingError struct{ ProjectionID string }

func (e *RebuildingError) Error() string {
	return fmt.Sprintf("projection %q is ending its rebuild; its events wait", e.ProjectionID)
}

// ProjectionError names the projection that an event could not be applied to. The
// others have applied it.
type ProjectionError struct {
	ProjectionID string
	Err          error
}

func (e *ProjectionError) Error() string {
	return fmt.Sprintf("projection %q: %v", e.ProjectionID, e.Err)
}

// Unwrap returns what happened in the projection.
func (e *ProjectionError) Unwrap() error { return e.Err }

// Is says that an error about the same projection is the same, so that errors.Is
// finds each in errors that were joined.
func (e *ProjectionError) Is(target error) bool {
	other, ok := target.(*ProjectionError)
	return ok && other.ProjectionID == e.ProjectionID
}

// Culprits returns the projections that err, perhaps joined of several, names in
// *ProjectionError.
func Culprits(err error) (found []Projection) {
	for _, p := range Projections() {
		if errors.Is(err, &ProjectionError{ProjectionID: p.ID}) {
			found = append(found, p)
		}
	}
	return found
}
