package httpapi

import (
	"testing"
	"time"
)

func TestReadsAreRefusedWhileTheDatabaseIsAway(t *testing.T) {
	var o outage
	now := time.Now()
	enters := func(want bool, what string) {
		t.Helper()
		if got := o.enter(now); got != want {
			t.Errorf("%s: enters %v, want %v", what, got, want)
		}
	}
	enters(true, "at the beginning")
	enters(true, "beside it")
	began := now
	now = now.Add(10 * time.Second)
	o.leave(began, now, true, false)
	enters(false, "after a failure")
	now = now.Add(outagePause)
	enters(true, "one that tries")
	enters(false, "beside the one that tries")
	o.leave(now, now.Add(time.Second), true, false)
	now = now.Add(time.Second)
	enters(false, "after another failure")
	now = now.Add(outagePause)
	enters(true, "another that tries")
	o.leave(now, now.Add(time.Millisecond), false, false)
	now = now.Add(time.Millisecond)
	enters(true, "after a success")
	enters(true, "beside it")
}

// One read that takes too long says nothing of the database while others are answered.
func TestASlowReadIsNoOutage(t *testing.T) {
	var o outage
	now := time.Now()
	o.enter(now)
	o.enter(now.Add(time.Second))
	o.leave(now.Add(time.Second), now.Add(2*time.Second), false, false)
	o.leave(now, now.Add(10*time.Second), true, false)
	if !o.enter(now.Add(10 * time.Second)) {
		t.Error("a read is refused")
	}
}

// A client who leaves while the database hangs does not make it be there again, nor keeps
// others from trying.
func TestALeftReadSaysNothing(t *testing.T) {
	var o outage
	now := time.Now()
	o.enter(now)
	o.leave(now, now, true, false)
	now = now.Add(outagePause)
	if !o.enter(now) {
		t.Fatal("nobody may try")
	}
	o.leave(now, now, false, true)
	if o.enter(now) {
		t.Error("a client who left is taken for an answer")
	}
	if !o.enter(now.Add(outagePause)) {
		t.Error("after a client who left nobody may try")
	}
}
