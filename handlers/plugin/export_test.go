package plugin

import (
	"context"
	"time"
)

// MaxUnstored is how many marks there may be that are not stored.
const MaxUnstored = maxUnstored

// At sets the clock of a CatchUp.
func (c *CatchUp) At(now time.Time) { c.loop.Clock = func() time.Time { return now } }

// Once looks for what handlers have missed once.
func (c *CatchUp) Once(ctx context.Context) error {
	_, err := c.loop.Once(ctx)
	return err
}

// Flush stores the marks that there are.
func (m *Marks) Flush(ctx context.Context) error { return m.flush(ctx) }

// Note notes that a handler is done with an event.
func (m *Marks) Note(ctx context.Context, handler, eventID string) error {
	return m.note(ctx, handler, eventID)
}
