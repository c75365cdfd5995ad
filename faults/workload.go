package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
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

// outcome is what a client knows of its request.
type outcome int

const (
	indeterminate outcome = iota // no answer, or one that says nothing about it
	acknowledged
	rejected
)

// request is one check-in as its client sees it.
type request struct {
	Queue   string
	Patient string
	Key     string

	outcome  outcome
	status   int
	replayed bool
}

// workload are the requests of a round.
type workload struct {
	size
	prefix   string // of the queues
	requests []*request
}

// newWorkload draws the requests from a seed. One in twenty is of a patient who is
// there already.
func newWorkload(z size, round string, seed uint64) *workload {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // to be repeated, not to be secret
	w := &workload{size: z, prefix: round + "-"}
	for i := range z.commands {
		r := &request{
			Queue: fmt.Sprintf("%s%d", w.prefix, random.IntN(z.queues)), Patient: fmt.Sprintf("p%d", i), Key: fmt.Sprintf("%s%d", w.prefix, i),
		}
		if i > 0 && random.IntN(20) == 0 {
			before := w.requests[random.IntN(i)]
			r.Queue, r.Patient = before.Queue, before.Patient
		}
		w.requests = append(w.requests, r)
	}
	return w
}

// run sends the requests at the rate, by as many clients as there are, and returns
// when all have an outcome. begun is called when a third has been sent.
func (w *workload) run(ctx context.Context, api func() string, begun func()) {
	next := make(chan *request)
	var clients sync.WaitGroup
	for range w.clients {
		clients.Go(func() {
			for r := range next {
				r.send(ctx, api())
			}
		})
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / w.rate))
	defer tick.Stop()
	for i, r := range w.requests {
		if i == len(w.requests)/3 {
			begun()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		next <- r
	}
	close(next)
	clients.Wait()
}

// resolve asks again, with the same keys, until every request has a definite outcome or
// ctx ends.
func (w *workload) resolve(ctx context.Context, api func() string) (asked int) {
	for _, r := range w.requests {
		for first := true; r.outcome == indeterminate && ctx.Err() == nil; first = false {
			if first {
				asked++
			} else {
				pause(ctx, 50*time.Millisecond)
			}
			r.send(ctx, api())
		}
	}
	return asked
}

// clientTimeout is how long a client waits for an answer.
const clientTimeout = 5 * time.Second

var client = &http.Client{Timeout: clientTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// send asks once and notes the outcome.
func (r *request) send(ctx context.Context, api string) {
	body, _ := json.Marshal(map[string]string{
		"queueId": r.Queue, "patientId": r.Patient, "patientName": "Perpetua Testname", "priority": "LOW", "consultationType": "Cardiology",
	})
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, api+"/api/waiting-room/check-in", bytes.NewReader(body))
	if err != nil {
		return
	}
	post.Header.Set("Content-Type", "application/json")
	post.Header.Set("Idempotency-Key", r.Key)
	response, err := client.Do(post)
	if err != nil {
		return
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return
	}
	r.status, r.replayed = response.StatusCode, response.Header.Get("Idempotency-Replayed") == "true"
	var problem struct{ Code string }
	_ = json.Unmarshal(answer, &problem)
	switch {
	case r.status == http.StatusOK:
		r.outcome = acknowledged
	case r.status >= http.StatusInternalServerError, problem.Code == "request_in_flight":
	default:
		r.outcome = rejected
	}
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
