package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// size is the workload of a round, and how long a fault lasts.
type size struct {
	clients, queues, commands int
	rate                      float64 // commands a second, of all clients
	// shorten divides how long a fault lasts.
	shorten time.Duration
}

var (
	long  = size{clients: 20, queues: 50, commands: 2000, rate: 200, shorten: 1}
	short = size{clients: 20, queues: 50, commands: 300, rate: 200, shorten: 10}
)

// workload are the requests of a round.
type workload struct {
	size
	prefix   string // of the queues
	requests []*request
	desks    map[string]*desk // by queue

	// began is the last position before the round.
	began int64
	// missed is up to where the plugin may have missed events, which it is sent behind later
	// ones.
	missed int64
}

// A queue in so many has a desk, and one command in so many is a desk's or of a
// patient who is there already.
const (
	queuesPerDesk   = 10
	commandsPerStep = 5
	commandsPerCopy = 20
)

// newWorkload draws the requests from a seed. What a desk asks for is known only when
// its turn has come.
func newWorkload(z size, round string, seed uint64) *workload {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // to be repeated, not to be secret
	w := &workload{size: z, prefix: round + "-", desks: map[string]*desk{}}
	for n := range z.queues / queuesPerDesk {
		w.desks[w.queue(n)] = &desk{}
	}
	var undisturbed []*request // whose visits do not end
	for i := range z.commands {
		r := &request{Key: fmt.Sprintf("%s%d", w.prefix, i)}
		switch {
		case random.IntN(commandsPerStep) == 0:
			r.Queue = w.queue(random.IntN(len(w.desks)))
		case len(undisturbed) > 0 && random.IntN(commandsPerCopy) == 0:
			before := undisturbed[random.IntN(len(undisturbed))]
			r.Command, r.Queue, r.Patient = checkIn, before.Queue, before.Patient
		default:
			r.Command, r.Queue, r.Patient = checkIn, w.queue(random.IntN(z.queues)), fmt.Sprintf("p%d", i)
			if w.desks[r.Queue] == nil {
				undisturbed = append(undisturbed, r)
			}
		}
		w.requests = append(w.requests, r)
	}
	return w
}

func (w *workload) name() string { return strings.TrimSuffix(w.prefix, "-") }

func (w *workload) queue(n int) string { return fmt.Sprintf("%s%d", w.prefix, n) }

// run sends the requests at the rate, by as many clients as there are, and returns
// when all have been sent. begun is called when a third has been.
func (w *workload) run(ctx context.Context, api func() string, begun func()) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / w.rate))
	defer tick.Stop()
	n := 0
	w.each(w.requests, func(r *request) { w.serve(ctx, r, api()) }, func() {
		if n == len(w.requests)/3 {
			begun()
		}
		n++
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	})
	w.requests = slices.DeleteFunc(w.requests, func(r *request) bool { return r.Command == "" })
}

// each lets the clients do something with each of some requests. before is called
// before each.
func (w *workload) each(requests []*request, do func(*request), before func()) {
	next := make(chan *request)
	var clients sync.WaitGroup
	for range w.clients {
		clients.Go(func() {
			for r := range next {
				do(r)
			}
		})
	}
	for _, r := range requests {
		before()
		next <- r
	}
	close(next)
	clients.Wait()
}

// serve sends a request, or lets a desk ask for what is next. A desk that waits for an
// answer lets its turn pass.
func (w *workload) serve(ctx context.Context, r *request, api string) {
	if r.Command != "" {
		r.send(ctx, api)
		return
	}
	d := w.desks[r.Queue]
	if !d.mu.TryLock() {
		return
	}
	defer d.mu.Unlock()
	asked := d.next(r)
	asked.send(ctx, api)
	d.took(asked)
}

// resolve asks again, with the same keys, until every request has a definite outcome or
// ctx ends.
func (w *workload) resolve(ctx context.Context, api func() string) {
	var open []*request
	for _, r := range w.requests {
		if r.Outcome == indeterminate {
			open = append(open, r)
		}
	}
	w.each(open, func(r *request) {
		for first := true; r.Outcome == indeterminate && ctx.Err() == nil; first = false {
			if !first {
				pause(ctx, 50*time.Millisecond)
			}
			r.send(ctx, api())
		}
	}, func() {})
}

// pause waits, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
