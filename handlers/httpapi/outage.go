package httpapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/rlapp/rlapp/readmodel"
)

// outagePause is how long the database is left alone by reads once it is known to be
// away: as long as by commands (command.Config.OutagePause).
const outagePause = 500 * time.Millisecond

// outage remembers that the database answers no reads: they are refused at once then, and
// every now and then one tries whether it is back. One that fails while others are
// answered says nothing. It is safe for concurrent use.
type outage struct {
	mu       sync.Mutex
	away     bool
	trying   bool
	next     time.Time // when to try again
	answered time.Time // when the last read was
}

// enter reports whether a read may ask the database.
func (o *outage) enter(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away && (o.trying || now.Before(o.next)) {
		return false
	}
	o.trying = o.away
	return true
}

// leave notes how a read that entered at a moment ended: it failed, its client left
// before anybody knew, or it was answered.
func (o *outage) leave(entered, now time.Time, failed, left bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case failed && o.answered.After(entered):
	case failed:
		o.away, o.trying, o.next = true, false, now.Add(outagePause)
	case left:
		o.trying, o.next = false, now.Add(outagePause)
	default:
		o.away, o.trying, o.answered = false, false, now
	}
}

// reading is what a read finds out about the database.
type reading struct{ failed bool }

type readingKey struct{}

// refuseWhileAway refuses reads while the database is away.
func (a *api) refuseWhileAway(ctx huma.Context, next func(huma.Context)) {
	if r, _ := humachi.Unwrap(ctx); r.Method != http.MethodGet || isStream(r) {
		next(ctx)
		return
	}
	entered := time.Now()
	if !a.outage.enter(entered) {
		writeTo(ctx, newProblem(ctx.Context(), http.StatusServiceUnavailable, codeUnavailable, detailAway))
		return
	}
	r := &reading{}
	defer func() { // also after a panic
		a.outage.leave(entered, time.Now(), r.failed, errors.Is(ctx.Context().Err(), context.Canceled))
	}()
	next(huma.WithValue(ctx, readingKey{}, r))
}

// noteOutage notes that a read failed since the database is away. A client who left says
// nothing about that.
func noteOutage(ctx context.Context, err error) {
	if r, reads := ctx.Value(readingKey{}).(*reading); reads && readmodel.Unavailable(err) && !errors.Is(ctx.Err(), context.Canceled) {
		r.failed = true
	}
}
