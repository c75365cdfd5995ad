package rabbitmq

import (
	"context"
	"time"
)

// backoff is a wait that doubles from min to max.
type backoff struct{ min, max, last time.Duration }

// next is the wait after one more failure.
func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, b.min), b.max)
	return b.last
}

// reset forgets the failures.
func (b *backoff) reset() { b.last = 0 }

// pause waits, at most until ctx ends, and reports whether the wait is over.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
