package projection

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rlapp/rlapp/schema"
)

// maxBatch bounds the events of one transaction. With half of it a full queue drains
// a fifth slower.
const maxBatch = 1000

// batcher lets events that come at the same time share a transaction. Whoever comes
// while nobody is at work takes all that wait, applies them, tells everyone the
// outcome and hands the lead on. So a lone event is applied at once, and nobody
// waits for a batch to fill. It is safe for concurrent use.
type batcher struct {
	// apply returns the outcome of each event, by index.
	apply func(ctx context.Context, events []schema.Recorded) []error

	mu      sync.Mutex
	led     bool
	waiting []*entry
}

// entry is one event that waits.
type entry struct {
	ctx   context.Context //nolint:containedctx // the batch lives as long as anybody waits for it
	event schema.Recorded
	// turn tells the outcome, or that the lead is here.
	turn chan turn
}

type turn struct {
	lead bool
	err  error
}

// do applies an event, with others that wait. When ctx ends before the event's batch
// has begun it returns its error.
func (b *batcher) do(ctx context.Context, event schema.Recorded) error {
	e := &entry{ctx: ctx, event: event, turn: make(chan turn, 1)}
	if b.enter(e) {
		return b.lead(e)
	}
	var t turn
	select {
	case t = <-e.turn:
	case <-ctx.Done():
		if b.leave(e) {
			return context.Cause(ctx)
		}
		t = <-e.turn // it is in a batch, or leads one
	}
	if t.lead {
		return b.lead(e)
	}
	return t.err
}

// enter reports whether the lead is free, and takes it.
func (b *batcher) enter(e *entry) (leads bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, e)
	leads, b.led = !b.led, true
	return leads
}

// leave takes back an event that still waits.
func (b *batcher) leave(e *entry) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := slices.Index(b.waiting, e)
	if at < 0 || len(e.turn) > 0 { // who has been given the lead must take it
		return false
	}
	b.waiting = slices.Delete(b.waiting, at, at+1)
	return true
}

// errBroken is the outcome of events whose leader panicked.
var errBroken = errors.New("the batch broke off")

// lead applies one batch, in which the leader's own event is, and hands the lead on.
func (b *batcher) lead(own *entry) (outcome error) {
	// What arrived at the same moment is let in: else the second of two events of a
	// queue is often alone in a batch before the first, and that is read from the store.
	runtime.Gosched()
	batch := b.take()
	events := make([]schema.Recorded, len(batch))
	for i, e := range batch {
		events[i] = e.event
	}
	ctx, cancel := whileAnybodyWaits(batch)
	errs := slices.Repeat([]error{errBroken}, len(batch))
	defer func() { // also when apply panics
		cancel()
		b.handOn()
		for i, e := range batch {
			if e == own {
				outcome = errs[i]
			} else {
				e.turn <- turn{err: errs[i]}
			}
		}
	}()
	errs = b.apply(ctx, events)
	return nil
}

// take removes the next batch from those that wait. The leader is the first of them.
func (b *batcher) take() []*entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waiting), maxBatch)
	batch := b.waiting[:n:n]
	b.waiting = slices.Clone(b.waiting[n:])
	return batch
}

func (b *batcher) handOn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.led = len(b.waiting) > 0
	if b.led {
		b.waiting[0].turn <- turn{lead: true}
	}
}

// whileAnybodyWaits returns a context that ends when the contexts of all events have
// ended: the transaction is no single message's.
func whileAnybodyWaits(batch []*entry) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(batch[0].ctx))
	var left atomic.Int64
	left.Store(int64(len(batch)))
	stops := make([]func() bool, len(batch))
	for i, e := range batch {
		stops[i] = context.AfterFunc(e.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}
