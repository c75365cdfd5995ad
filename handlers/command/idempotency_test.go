package command_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/waitingroom"
)

// keyed is a check-in with an idempotency key.
func keyed(key, correlationID, queue, patient string) command.Envelope[waitingroom.CheckIn] {
	e := checkIn{queue, patient}.envelope()
	e.IdempotencyKey, e.CorrelationID = key, correlationID
	return e
}

func TestTheSameKeyIsAnsweredAlike(t *testing.T) {
	b := newLane(t, command.Config{})
	first, err := command.Send(t.Context(), b.bus, keyed("k", "c-1", "q", "a"))
	if err != nil {
		t.Fatal(err)
	}
	first.RepeatOf = "c-1"
	again, err := command.Send(t.Context(), b.bus, keyed("k", "c-2", "q", "a"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the answers differ (-first +again):\n%s", diff)
	}
	if len(b.store.events["q"]) != 2 {
		t.Errorf("the queue has %d events", len(b.store.events["q"]))
	}
}

func TestARefusalIsAnsweredAlike(t *testing.T) {
	b := newLane(t, command.Config{MaxCapacity: 1})
	if err := b.checkIn(checkIn{"q", "a"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"", "c-1"} {
		_, err := command.Send(t.Context(), b.bus, keyed("k", "c-"+fmt.Sprint(1+len(want)), "q", "b"))
		var repeated *waitingroom.RepeatedError
		if codeOf(err) != waitingroom.CodeQueueFull || errors.As(err, &repeated) != (want != "") || repeated != nil && repeated.CorrelationID != want {
			t.Errorf("got %v", err)
		}
		// Also when there is a place by now.
		b.store.elsewhere("q", waitingroom.PatientAttentionCompleted{QueueID: "q", PatientID: "a"})
	}
}

func TestAKeyIsForOneRequest(t *testing.T) {
	b := newLane(t, command.Config{})
	if _, err := command.Send(t.Context(), b.bus, keyed("k", "c-1", "q", "a")); err != nil {
		t.Fatal(err)
	}
	other := keyed("k", "c-2", "q", "a")
	other.Command.Notes = "another"
	if _, err := command.Send(t.Context(), b.bus, other); codeOf(err) != waitingroom.CodeKeyReused {
		t.Errorf("got %v", err)
	}
	if len(b.store.events["q"]) != 2 {
		t.Errorf("the queue has %d events", len(b.store.events["q"]))
	}
}

func TestAKeyInFlightIsRefused(t *testing.T) {
	b := newLane(t, command.Config{})
	b.store.gate = make(chan struct{}, 10)
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := command.Send(t.Context(), b.bus, keyed("k", "c-1", "q", "a")); err != nil {
			t.Error(err)
		}
	})
	b.await(b.handlers.Leading)
	if _, err := command.Send(t.Context(), b.bus, keyed("k", "c-2", "q", "a")); codeOf(err) != waitingroom.CodeInFlight {
		t.Errorf("got %v", err)
	}
	if _, err := command.Send(t.Context(), b.bus, keyed("k", "c-2", "q", "other")); codeOf(err) != waitingroom.CodeKeyReused {
		t.Errorf("got %v", err)
	}
	close(b.store.gate)
	group.Wait()
	b.store.gate = nil
	if again, err := command.Send(t.Context(), b.bus, keyed("k", "c-3", "q", "a")); err != nil || again.RepeatOf != "c-1" {
		t.Errorf("after the first has ended: %+v, %v", again, err)
	}
}

// Clients that ask again after an outage do not break up the batches.
func TestRepeatedRequestsLeaveTheBatchTogether(t *testing.T) {
	b := newLane(t, command.Config{})
	var first, mixed []command.Envelope[waitingroom.CheckIn]
	for n := range 10 {
		e := keyed(fmt.Sprint("k-", n), "c-1", "q", fmt.Sprint("p-", n))
		first, mixed = append(first, e), append(mixed, e, checkIn{"q", fmt.Sprint("new-", n)}.envelope())
	}
	if _, errs := b.send(first...); errors.Join(errs...) != nil {
		t.Fatal(errs)
	}
	b.store.batches = nil
	appended, errs := b.send(mixed...)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for i, a := range appended {
		if (a.RepeatOf != "") != (i%2 == 0) {
			t.Errorf("check-in %d: %+v", i, a)
		}
	}
	// One in the way, the ten that are new beside those with a known key, and the ten alone.
	if got := b.store.batches; len(got) != 3 || got[2] != 10 {
		t.Errorf("the commands of each commit: %v", got)
	}
	if got := len(b.store.events["q"]); got != 21 {
		t.Errorf("the queue has %d events", got)
	}
}
