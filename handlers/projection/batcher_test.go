package projection_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/handlers/projection"
	"github.com/rlapp/rlapp/schema"
)

// gate is what a batcher applies to: each batch waits until it is let through.
type gate struct {
	begun chan []schema.Recorded
	pass  chan []error // nil lets all events succeed
}

func newGate() *gate { return &gate{begun: make(chan []schema.Recorded), pass: make(chan []error)} }

func (g *gate) apply(_ context.Context, events []schema.Recorded) []error {
	g.begun <- events
	if errs := <-g.pass; errs != nil {
		return errs
	}
	return make([]error, len(events))
}

func numbered(version int) schema.Recorded {
	return schema.Recorded{Metadata: schema.Metadata{Version: int64(version)}}
}

// crowd has the lead with event 0 held at the gate and others, from 1, waiting.
func crowd(t *testing.T, b projection.Batcher, g *gate, others int) (outcomes chan error) {
	t.Helper()
	outcomes = make(chan error, others+2)
	do := func(i int) { outcomes <- b.Do(context.Background(), numbered(i)) }
	go do(0)
	if first := <-g.begun; len(first) != 1 {
		t.Fatalf("a lone event came in a batch of %d", len(first))
	}
	for i := range others {
		go do(i + 1)
	}
	waitUntil(t, func() bool { return b.Waiting() == others })
	return outcomes
}

func waitUntil(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not within 10 s")
		}
	}
}

func TestEventsThatWaitShareABatch(t *testing.T) {
	g := newGate()
	b := projection.NewBatcher(g.apply)
	outcomes := crowd(t, b, g, projection.MaxBatch+7)
	var sizes []int
	g.pass <- nil
	for len(sizes) < 2 {
		sizes = append(sizes, len(<-g.begun))
		g.pass <- nil
	}
	if diff := cmp.Diff([]int{projection.MaxBatch, 7}, sizes); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
	for range projection.MaxBatch + 8 {
		if err := <-outcomes; err != nil {
			t.Error(err)
		}
	}
	go func() { <-g.begun; g.pass <- nil }()
	if err := b.Do(t.Context(), numbered(1)); err != nil { // the lead is free again
		t.Error(err)
	}
}

// Each event gets its own outcome, by index.
func TestAnEventFailsAlone(t *testing.T) {
	g := newGate()
	b := projection.NewBatcher(g.apply)
	outcomes := crowd(t, b, g, 4)
	g.pass <- nil
	failure := errors.New("refused")
	<-g.begun
	g.pass <- []error{nil, failure, nil, nil}
	failed := 0
	for range 5 {
		if errors.Is(<-outcomes, failure) {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d events failed, want 1", failed)
	}
}

// The end of one message's context is not the end of its batch, even where it is the
// leader's; who only waits goes at once.
func TestAContextEndsForItsEventOnly(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	alive := make(chan error, 1)
	g := newGate()
	var batchContext context.Context
	b := projection.NewBatcher(func(ctx context.Context, events []schema.Recorded) []error {
		batchContext = ctx
		return g.apply(ctx, events)
	})
	outcomes := make(chan error, 3)
	go func() { outcomes <- b.Do(ended, numbered(0)) }()
	<-g.begun
	end()
	waitUntil(t, func() bool { return batchContext.Err() != nil }) // nobody else is in this one
	go func() { outcomes <- b.Do(ended, numbered(1)) }()
	if err := <-outcomes; !errors.Is(err, context.Canceled) {
		t.Errorf("an event that waits returned %v", err)
	}
	g.pass <- nil
	if err := <-outcomes; err != nil {
		t.Error(err)
	}

	second, endSecond := context.WithCancel(t.Context())
	outcomes = crowd(t, b, g, 0)
	go func() { outcomes <- b.Do(second, numbered(1)) }()
	waitUntil(t, func() bool { return b.Waiting() == 1 })
	go func() { alive <- b.Do(context.Background(), numbered(2)) }()
	waitUntil(t, func() bool { return b.Waiting() == 2 })
	g.pass <- nil
	if n := len(<-g.begun); n != 2 {
		t.Fatalf("a batch of %d events, want 2", n)
	}
	endSecond()
	if err := batchContext.Err(); err != nil {
		t.Errorf("the batch ended with its leader's message: %v", err)
	}
	g.pass <- nil
	if err := <-alive; err != nil {
		t.Error(err)
	}
}

// A leader that panics answers its batch and hands the lead on.
func TestAPanicIsNotTheEnd(t *testing.T) {
	calls := 0
	b := projection.NewBatcher(func(_ context.Context, events []schema.Recorded) []error {
		if calls++; calls == 1 {
			panic("broken")
		}
		return make([]error, len(events))
	})
	func() {
		defer func() { _ = recover() }()
		_ = b.Do(t.Context(), numbered(1))
	}()
	if err := b.Do(t.Context(), numbered(2)); err != nil {
		t.Error(err)
	}
}
