package command_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/waitingroom"
)

// gated is an event store in memory that keeps each queue apart, checks versions,
// and lets appends wait at a gate.
type gated struct {
	mu      sync.Mutex
	events  map[string][]waitingroom.Event
	loads   []string
	batches []int
	// order are the queues of the last append.
	order []string
	// answers are those that are remembered, by key.
	answers map[string]waitingroom.Answer
	// snapshots are the versions of those that were stored.
	snapshots []int64
	// refuse says why an append fails; nil lets it through.
	refuse func(changes []waitingroom.Change) error
	// gate is taken by each append before it goes on; nil lets all through.
	gate chan struct{}
}

func (g *gated) Load(_ context.Context, queues ...*waitingroom.Queue) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, q := range queues {
		g.loads = append(g.loads, fmt.Sprintf("%s from %d", q.ID(), q.Version()))
		q.Apply(g.events[q.ID()][q.Version():]...)
	}
	return nil
}

func (g *gated) Append(ctx context.Context, changes ...waitingroom.Change) ([]waitingroom.Appended, error) {
	if g.gate != nil {
		select {
		case <-g.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batches = append(g.batches, len(changes))
	if g.refuse != nil {
		if err := g.refuse(changes); err != nil {
			return nil, err
		}
	}
	g.order = nil
	for _, c := range changes {
		if c.Request != nil {
			if _, taken := g.answers[c.Request.Key]; taken {
				return nil, &waitingroom.KeyTakenError{Err: errors.New(c.Request.Key)}
			}
		}
	}
	next := map[string]int{}
	for _, c := range changes {
		g.order = append(g.order, c.QueueID)
		if c.Refusal == nil && c.Expected != int64(len(g.events[c.QueueID])+next[c.QueueID]) {
			return nil, conflict
		}
		next[c.QueueID] += len(c.Events)
	}
	answers := make([]waitingroom.Appended, len(changes))
	for i, c := range changes {
		g.events[c.QueueID] = append(g.events[c.QueueID], c.Events...)
		answers[i] = waitingroom.Appended{EventCount: len(c.Events), Version: int64(len(g.events[c.QueueID]))}
		if c.Request != nil {
			answer := waitingroom.Answer{Request: *c.Request, CorrelationID: c.Cause.CorrelationID, Appended: answers[i], Refusal: c.Refusal}
			if n := len(c.Events); n > 0 {
				answer.Appended.Last = c.Events[n-1]
			}
			g.answers[c.Request.Key] = answer
		}
		if c.Snapshot != nil {
			g.snapshots = append(g.snapshots, c.Snapshot.Version)
		}
	}
	return answers, nil
}

func (g *gated) Answers(_ context.Context, keys ...string) (map[string]waitingroom.Answer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	found := map[string]waitingroom.Answer{}
	for _, key := range keys {
		if a, known := g.answers[key]; known {
			found[key] = a
		}
	}
	return found, nil
}

// elsewhere is what another process writes.
func (g *gated) elsewhere(queueID string, events ...waitingroom.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events[queueID] = append(g.events[queueID], events...)
}

// bench is one lane over a gated store.
type laneBench struct {
	t        *testing.T
	store    *gated
	handlers *command.Handlers
	bus      *command.Bus
}

func newLane(t *testing.T, config command.Config) *laneBench {
	t.Helper()
	store := &gated{events: map[string][]waitingroom.Event{}, answers: map[string]waitingroom.Answer{}}
	config.Lanes = 1
	handlers := command.NewHandlers(store, config)
	return &laneBench{t: t, store: store, handlers: handlers, bus: runBus(t, handlers, prometheus.NewRegistry())}
}

// checkIn names one check-in.
type checkIn struct{ queue, patient string }

func (c checkIn) envelope() command.Envelope[waitingroom.CheckIn] {
	e := johnDoe()
	e.Command.QueueID, e.Command.PatientID = c.queue, c.patient
	return e
}

func (b *laneBench) checkIn(c checkIn) error {
	_, err := command.Send(b.t.Context(), b.bus, c.envelope())
	return err
}

// together sends check-ins while another one is being committed, so that they
// wait for each other, and returns how each ended.
func (b *laneBench) together(checkIns ...checkIn) []error {
	b.t.Helper()
	var envelopes []command.Envelope[waitingroom.CheckIn]
	for _, c := range checkIns {
		envelopes = append(envelopes, c.envelope())
	}
	_, errs := b.send(envelopes...)
	return errs
}

func (b *laneBench) send(envelopes ...command.Envelope[waitingroom.CheckIn]) ([]waitingroom.Appended, []error) {
	b.t.Helper()
	b.store.gate = make(chan struct{}, 1000)
	appended, errs := make([]waitingroom.Appended, len(envelopes)), make([]error, len(envelopes))
	var group sync.WaitGroup
	group.Go(func() {
		if err := b.checkIn(checkIn{"in-the-way", fmt.Sprint(time.Now().UnixNano())}); err != nil {
			b.t.Error(err)
		}
	})
	b.await(func() bool { return b.handlers.Leading() })
	for i, e := range envelopes {
		group.Go(func() { appended[i], errs[i] = command.Send(b.t.Context(), b.bus, e) })
		b.await(func() bool { return b.handlers.Waiting() == i+1 }) // in this order
	}
	close(b.store.gate)
	group.Wait()
	b.store.gate = nil
	return appended, errs
}

// await polls for a state that nothing tells of.
func (b *laneBench) await(is func() bool) {
	b.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatal("it did not come about")
		}
	}
}

func codeOf(err error) waitingroom.Code {
	var refusal *waitingroom.Error
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return ""
}

func TestWhatWaitsSharesACommit(t *testing.T) {
	b := newLane(t, command.Config{})
	var checkIns []checkIn
	for n := range 20 {
		checkIns = append(checkIns, checkIn{fmt.Sprintf("queue-%d", n%4), fmt.Sprintf("p-%d", n)})
	}
	if err := errors.Join(b.together(checkIns...)...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 20}, b.store.batches); diff != "" {
		t.Errorf("the commands of each commit differ (-want +got):\n%s", diff)
	}
	if !slices.IsSorted(b.store.order) {
		t.Errorf("two processes would lock queues in different orders: %v", b.store.order)
	}
	if got := len(b.store.events["queue-0"]); got != 1+5 {
		t.Errorf("queue-0 has %d events", got)
	}
	if err := b.checkIn(checkIn{"queue-0", "p-x"}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(b.store.loads, ", "); strings.Count(got, "queue-0") != 1 {
		t.Errorf("a cached queue was loaded again: %s", got)
	}
}

func TestAnEarlierCommandOfTheBatchCounts(t *testing.T) {
	b := newLane(t, command.Config{MaxCapacity: 2})
	errs := b.together(checkIn{"q", "a"}, checkIn{"q", "a"}, checkIn{"q", "b"}, checkIn{"q", "c"})
	var got []waitingroom.Code
	for _, err := range errs {
		got = append(got, codeOf(err))
	}
	want := []waitingroom.Code{"", waitingroom.CodeAlreadyCheckedIn, "", waitingroom.CodeQueueFull}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{1, 2}, b.store.batches); diff != "" {
		t.Errorf("refusals cost commits (-want +got):\n%s", diff)
	}
}

func TestABatchThatIsRefusedIsTriedOneByOne(t *testing.T) {
	bad := errors.New("the store cannot take it")
	for name, refusal := range map[string]error{
		"a conflict":      conflict,
		"another refusal": &waitingroom.RolledBackError{Err: bad},
	} {
		t.Run(name, func(t *testing.T) {
			b := newLane(t, command.Config{MaxAttempts: 3})
			b.store.refuse = func(changes []waitingroom.Change) error {
				for _, c := range changes {
					if c.QueueID == "bad" {
						return refusal
					}
				}
				return nil
			}
			errs := b.together(checkIn{"good-1", "p"}, checkIn{"bad", "p"}, checkIn{"good-2", "p"}, checkIn{"good-1", "p2"})
			for i, err := range errs {
				if (err != nil) != (i == 1) {
					t.Errorf("check-in %d: %v", i, err)
				}
			}
			if len(b.store.events["good-1"]) != 3 || len(b.store.events["good-2"]) != 2 || len(b.store.events["bad"]) != 0 {
				t.Errorf("stored: %v", b.store.events)
			}
			b.store.refuse = nil
			if err := b.checkIn(checkIn{"bad", "p"}); err != nil {
				t.Errorf("what was speculated about a queue outlived its refusal: %v", err)
			}
		})
	}
}

// A command that the store gave up for the sake of others is tried again, a bounded
// number of times; then its client is told to come back. The others of its batch go on.
func TestACommandThatWasGivenUpForOthersIsTriedAgain(t *testing.T) {
	deadlock := errors.New("deadlock detected")
	b := newLane(t, command.Config{MaxAttempts: 3, IsContended: func(err error) bool { return errors.Is(err, deadlock) }})
	failures := 0
	b.store.refuse = func(changes []waitingroom.Change) error {
		for _, c := range changes {
			if c.QueueID == "unlucky" && failures > 0 {
				failures--
				return &waitingroom.RolledBackError{Err: deadlock}
			}
		}
		return nil
	}
	failures = 3 // with the others, and twice alone
	if err := errors.Join(b.together(checkIn{"lucky", "a"}, checkIn{"unlucky", "a"})...); err != nil {
		t.Errorf("it passes: %v", err)
	}
	failures = 3
	if err := b.checkIn(checkIn{"unlucky", "b"}); !isUnavailable(err) || !errors.Is(err, deadlock) {
		t.Errorf("got %v, want that the client comes back", err)
	}
	if err := b.checkIn(checkIn{"unlucky", "b"}); err != nil {
		t.Errorf("it was remembered: %v", err)
	}
	if n := len(b.store.events["unlucky"]); n != 3 {
		t.Errorf("the queue has %d events", n)
	}
}

func TestAnUncertainFailureIsNotTriedAgain(t *testing.T) {
	b := newLane(t, command.Config{})
	lost := errors.New("the connection was lost")
	b.store.refuse = func(changes []waitingroom.Change) error {
		if len(changes) > 1 {
			return lost
		}
		return nil
	}
	for i, err := range b.together(checkIn{"q", "a"}, checkIn{"q", "b"}) {
		if !errors.Is(err, lost) {
			t.Errorf("check-in %d: %v", i, err)
		}
	}
	if diff := cmp.Diff([]int{1, 2}, b.store.batches); diff != "" {
		t.Errorf("appends differ (-want +got):\n%s", diff)
	}
}

func TestARefusalByAnOldStateIsCheckedAgainstTheStore(t *testing.T) {
	b := newLane(t, command.Config{MaxCapacity: 1})
	if err := b.checkIn(checkIn{"q", "a"}); err != nil {
		t.Fatal(err)
	}
	if err := b.checkIn(checkIn{"q", "b"}); codeOf(err) != waitingroom.CodeQueueFull {
		t.Fatalf("got %v, want that the queue is full", err)
	}
	b.store.elsewhere("q", waitingroom.PatientAttentionCompleted{QueueID: "q", PatientID: "a"})
	if err := b.checkIn(checkIn{"q", "b"}); err != nil {
		t.Errorf("the place that another process freed was not seen: %v", err)
	}
	want := []string{"q from 0", "q from 2", "q from 2"} // the later events only
	if diff := cmp.Diff(want, b.store.loads); diff != "" {
		t.Errorf("loads differ (-want +got):\n%s", diff)
	}
}

func TestALostRaceInABatchIsDecidedAnew(t *testing.T) {
	b := newLane(t, command.Config{MaxCapacity: 10})
	if err := b.checkIn(checkIn{"q", "a"}); err != nil {
		t.Fatal(err)
	}
	b.store.elsewhere("q", waitingroom.PatientCheckedIn{QueueID: "q", PatientID: "b"})
	errs := b.together(checkIn{"q", "c"}, checkIn{"q", "b"}, checkIn{"other", "p"})
	if errs[0] != nil || codeOf(errs[1]) != waitingroom.CodeAlreadyCheckedIn || errs[2] != nil {
		t.Errorf("got %v", errs)
	}
	if len(b.store.events["q"]) != 4 {
		t.Errorf("the queue has %d events", len(b.store.events["q"]))
	}
}

func TestWhoHasLeftIsLeftOut(t *testing.T) {
	b := newLane(t, command.Config{})
	b.store.gate = make(chan struct{}, 10)
	var group sync.WaitGroup
	group.Go(func() {
		if err := b.checkIn(checkIn{"q", "a"}); err != nil {
			t.Error(err)
		}
	})
	b.await(b.handlers.Leading)
	ctx, leave := context.WithCancel(t.Context())
	e := johnDoe()
	e.Command.QueueID, e.Command.PatientID = "q", "gone"
	group.Go(func() {
		if _, err := command.Send(ctx, b.bus, e); !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
	})
	b.await(func() bool { return b.handlers.Waiting() == 1 })
	leave()
	close(b.store.gate)
	group.Wait()
	b.await(func() bool { return !b.handlers.Leading() })
	if len(b.store.events["q"]) != 2 {
		t.Errorf("the queue has %d events; a command that nobody waits for was done", len(b.store.events["q"]))
	}
}

func TestAStoreThatHangsIsGivenUp(t *testing.T) {
	b := newLane(t, command.Config{CommitTimeout: 50 * time.Millisecond})
	b.store.gate = make(chan struct{}) // never
	if err := b.checkIn(checkIn{"q", "a"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	b := newLane(t, command.Config{CacheSize: 50})
	for n := range 200 {
		if err := b.checkIn(checkIn{fmt.Sprintf("queue-%d", n%40), fmt.Sprintf("p-%d", n)}); err != nil {
			t.Fatal(err)
		}
	}
	if size := b.handlers.Cached(); size > 50 || size < 40 {
		t.Errorf("%d queues and patients are kept, of at most 50", size)
	}
	for n := range 100 { // one queue is kept even if it is larger than the cache
		if err := b.checkIn(checkIn{"large", fmt.Sprintf("p-%d", n)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(strings.Join(b.store.loads, " "), "large"); n != 1 {
		t.Errorf("the large queue was loaded %d times", n)
	}
}

func TestSnapshotsAreTakenAlongTheWay(t *testing.T) {
	b := newLane(t, command.Config{SnapshotEvery: 3, MaxCapacity: 100})
	for n := range 8 {
		if err := b.checkIn(checkIn{"q", fmt.Sprintf("p-%d", n)}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]int64{3, 6}, b.store.snapshots); diff != "" {
		t.Errorf("versions with a snapshot differ (-want +got):\n%s", diff)
	}
	b.store.snapshots = nil
	var more []checkIn
	for n := range 7 {
		more = append(more, checkIn{"q", fmt.Sprintf("more-%d", n)})
	}
	if err := errors.Join(b.together(more...)...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{16}, b.store.snapshots); diff != "" {
		t.Errorf("a batch has one snapshot, of its end (-want +got):\n%s", diff)
	}
}
