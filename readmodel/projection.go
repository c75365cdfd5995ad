package readmodel

import (
	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// Projection turns events into rows of its own tables. Nobody else writes them.
type Projection struct {
	// ID names the projection in URLs, metrics and checkpoints. It is public API.
	ID string
	// tables are what a rebuild makes anew.
	tables []string
	// apply queues the statements by which events change the tables: a few, however
	// many events there are. It is given each queue's events in order, each once.
	apply func(b *pgx.Batch, events []schema.Recorded)
}

// HandlerName names the projection where it fails on an event: in
// poison_messages, in the lag table and in metrics. It is public API.
func (p Projection) HandlerName() string { return "projection." + p.ID }

// Projections lists all projections, in the order in which they are shown.
func Projections() []Projection {
	return []Projection{Monitor, QueueState, NextTurn, History, Journey}
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
