package readmodel

import (
	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// Projection turns events into rows of its own tables. Nobody else writes them.
type Projection struct {
	// ID names the projection in URLs, metrics and checkpoints. It is public API.
	ID string
	// tables are what a rebuild empties first.
	tables []string
	// apply queues the statements by which an event changes the tables. It is
	// given each queue's events in order, each once.
	apply func(b *pgx.Batch, e schema.Recorded)
}

// HandlerName is the name of the projection's handler in its router, its broker
// queue and the lag table. It is public API: a renamed handler starts anew.
func (p Projection) HandlerName() string { return "projection." + p.ID }

// Projections lists all projections, in the order in which they are shown.
func Projections() []Projection {
	return []Projection{Monitor, QueueState, NextTurn, History}
}

// ProjectionByID finds a projection.
func ProjectionByID(id string) (Projection, bool) {
	for _, p := range Projections() {
		if p.ID == id {
			return p, true
		}
	}
	return Projection{}, false
}
