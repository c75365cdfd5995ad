package projection

import (
	"context"
	"time"

	"github.com/rlapp/rlapp/schema"
)

// Batcher lets tests give a batcher something else to apply events to.
type Batcher struct{ b *batcher }

// MaxBatch is the most events of one batch.
const MaxBatch = maxBatch

// NewBatcher returns a batcher.
func NewBatcher(apply func(ctx context.Context, events []schema.Recorded) []error) Batcher {
	return Batcher{&batcher{apply: apply}}
}

// Do applies an event.
func (b Batcher) Do(ctx context.Context, e schema.Recorded) error { return b.b.do(ctx, e) }

// Waiting is the number of events that wait for a batch.
func (b Batcher) Waiting() int {
	b.b.mu.Lock()
	defer b.b.mu.Unlock()
	return len(b.b.waiting)
}

// At sets the clock of a CatchUp.
func (c *CatchUp) At(now time.Time) { c.loop.Clock = func() time.Time { return now } }

// Once looks at the event store once, and returns when it would the next time.
func (c *CatchUp) Once(ctx context.Context) (time.Duration, error) { return c.loop.Once(ctx) }
