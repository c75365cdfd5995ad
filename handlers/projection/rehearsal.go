package projection

import (
	"context"

	"github.com/rlapp/rlapp/handlers/poison"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// Rehearsals returns how the projections are rehearsed, by their handlers' names.
func Rehearsals(store *readmodel.Store) poison.Rehearsals {
	all := poison.Rehearsals{}
	for _, p := range readmodel.Projections() {
		all[p.HandlerName()] = func(ctx context.Context, e schema.Recorded) error { return store.Rehearse(ctx, p, e) }
	}
	return all
}
