package command_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/waitingroom"
)

var errAway = errors.New("connection refused")

// clock is a clock that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) move(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func isUnavailable(err error) bool {
	var unavailable *command.UnavailableError
	return errors.As(err, &unavailable)
}

// While the store is away commands are refused without asking it; one batch tries it
// after each pause, and when it is back everything goes on.
func TestAnOutageRefusesAtOnce(t *testing.T) {
	now := &clock{now: tenOClock}
	b := newLane(t, command.Config{
		Now: now.Now, OutagePause: time.Second, IsOutage: func(err error) bool { return errors.Is(err, errAway) },
	})
	b.store.refuse = func([]waitingroom.Change) error { return errAway }
	asked := func(want int) {
		t.Helper()
		if got := len(b.store.batches); got != want {
			t.Errorf("the store was asked %d times, want %d", got, want)
		}
	}
	if err := b.checkIn(checkIn{"q", "a"}); !errors.Is(err, errAway) || isUnavailable(err) {
		t.Fatal(err)
	}
	asked(1)
	for range 3 {
		if err := b.checkIn(checkIn{"q", "a"}); !isUnavailable(err) || !errors.Is(err, errAway) {
			t.Error(err)
		}
	}
	asked(1)
	now.move(time.Second)
	if err := b.checkIn(checkIn{"q", "a"}); isUnavailable(err) {
		t.Errorf("nothing tried the store: %v", err)
	}
	asked(2)
	if err := b.checkIn(checkIn{"q", "a"}); !isUnavailable(err) {
		t.Error(err)
	}
	now.move(time.Second)
	b.store.refuse = nil
	for n := range 3 {
		if err := b.checkIn(checkIn{"q", fmt.Sprint(n)}); err != nil {
			t.Errorf("the store is back: %v", err)
		}
	}
	asked(5)
}

// What waits behind a batch that finds the store away is refused as well, and does
// not wait for a timeout of its own.
func TestAnOutageRefusesWhatWaits(t *testing.T) {
	b := newLane(t, command.Config{OutagePause: time.Hour, IsOutage: func(err error) bool { return errors.Is(err, errAway) }})
	b.store.gate = make(chan struct{})
	b.store.refuse = func([]waitingroom.Change) error { return errAway }
	var group sync.WaitGroup
	group.Go(func() {
		if err := b.checkIn(checkIn{"q", "first"}); !errors.Is(err, errAway) {
			t.Error(err)
		}
	})
	b.await(b.handlers.Leading)
	for n := range 5 {
		group.Go(func() {
			if err := b.checkIn(checkIn{"q", fmt.Sprint(n)}); !isUnavailable(err) {
				t.Error(err)
			}
		})
	}
	b.await(func() bool { return b.handlers.Waiting() == 5 })
	close(b.store.gate)
	group.Wait()
	if got := len(b.store.batches); got != 1 {
		t.Errorf("the store was asked %d times", got)
	}
}

// A refusal of the domain says nothing about the store.
func TestARefusalIsNoOutage(t *testing.T) {
	b := newLane(t, command.Config{MaxCapacity: 1, IsOutage: func(error) bool { return true }})
	if err := b.checkIn(checkIn{"q", "a"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.checkIn(checkIn{"q", "b"}); codeOf(err) != waitingroom.CodeQueueFull {
			t.Error(err)
		}
	}
}

func TestTheWaitingCommandsAreBounded(t *testing.T) {
	b := newLane(t, command.Config{MaxWaiting: 3})
	b.store.gate = make(chan struct{})
	var group sync.WaitGroup
	send := func(patient string) {
		group.Go(func() {
			if err := b.checkIn(checkIn{"q", patient}); err != nil {
				t.Error(err)
			}
		})
	}
	send("leader")
	b.await(b.handlers.Leading)
	for n := range 3 {
		send(fmt.Sprint(n))
	}
	b.await(func() bool { return b.handlers.Waiting() == 3 })
	if err := b.checkIn(checkIn{"q", "one too many"}); !isUnavailable(err) {
		t.Error(err)
	}
	close(b.store.gate)
	group.Wait()
	b.store.gate = nil
	if err := b.checkIn(checkIn{"q", "later"}); err != nil {
		t.Error(err)
	}
}
