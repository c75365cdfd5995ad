package httpapi

import (
	"context"
	"time"

	"github.com/rlapp/rlapp/readmodel"
)

// Consistency lets a client read what it wrote. It is exported because huma leaves out
// embedded structs that are not.
type Consistency struct {
	MinPosition int64 `query:"minPosition" minimum:"0" default:"0" doc:"Answer once the view has the event at this position, which every command's answer tells. After two seconds the answer is 503."`
}

// maxConsistencyWait bounds the wait for a view. Projections follow within
// milliseconds; one that is further behind will not be there in a moment either.
const maxConsistencyWait = 2 * time.Second

// caughtUp waits until the projections of a view have what the client asks for.
func (a *api) caughtUp(ctx context.Context, c Consistency, projections ...readmodel.Projection) error {
	if c.MinPosition == 0 {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, maxConsistencyWait)
	defer cancel()
	if err := a.views.WaitFor(waiting, c.MinPosition, projections...); err != nil {
		return a.fail(ctx, err)
	}
	return nil
}
