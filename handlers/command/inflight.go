package command

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/rlapp/rlapp/waitingroom"
)

// requestOf returns what the answer to a command is remembered for, or nil where the
// client gave no key.
func requestOf[C waitingroom.Command](e Envelope[C]) (*waitingroom.Request, error) {
	if e.IdempotencyKey == "" {
		return nil, nil
	}
	asked, err := json.Marshal(struct {
		Kind    string
		Actor   string
		Command C
	}{fmt.Sprintf("%T", e.Command), e.Actor, e.Command})
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return &waitingroom.Request{Key: e.IdempotencyKey, Fingerprint: sha256.Sum256(asked)}, nil
}

// inFlight are the requests with an idempotency key that are being worked on here,
// also when their clients have left. It is safe for concurrent use. A process beside
// this one is told by the store: its request waits for the first and gets its answer.
type inFlight struct {
	mu       sync.Mutex
	requests map[string]waitingroom.Request
}

func newInFlight() *inFlight { return &inFlight{requests: map[string]waitingroom.Request{}} }

// begin refuses a request with a key that is in use.
func (f *inFlight) begin(r waitingroom.Request) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	first, busy := f.requests[r.Key]
	switch {
	case busy && first.Fingerprint != r.Fingerprint:
		_, err := waitingroom.Answer{Request: first}.Outcome(r)
		return err
	case busy:
		return r.InFlight()
	}
	f.requests[r.Key] = r
	return nil
}

func (f *inFlight) end(r waitingroom.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.requests, r.Key)
}
