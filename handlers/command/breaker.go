package command

import (
	"sync"
	"time"
)

// UnavailableError says that no command is taken at the moment. Nothing was changed;
// the request may be sent again in a while.
type UnavailableError struct {
	// Reason says why, for a person.
	Reason string
	// Err is what the event store said, where it was asked.
	Err error
}

func (e *UnavailableError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap returns the store's error.
func (e *UnavailableError) Unwrap() error { return e.Err }

// breaker remembers that the event store is away: commands are then refused at once,
// and every now and then one batch tries whether it is back. It is safe for
// concurrent use.
type breaker struct {
	config Config

	mu     sync.Mutex
	outage error // nil while the store is there
	next   time.Time
	trying bool
}

// refuse returns an error while the store is away and it is not time to try it.
func (b *breaker) refuse() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.outage == nil || !b.trying && !b.config.Now().Before(b.next) {
		return nil
	}
	return &UnavailableError{Reason: "the event store is away", Err: b.outage}
}

// open reports whether the store is away.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.outage != nil
}

// try is refuse for a batch, which then tries the store for all.
func (b *breaker) try() error {
	if err := b.refuse(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = b.outage != nil
	return nil
}

// tried notes how a batch ended.
func (b *breaker) tried(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying, b.outage = false, nil
	if err != nil && b.config.IsOutage(err) {
		b.outage, b.next = err, b.config.Now().Add(b.config.OutagePause)
	}
}
