package catchup_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rlapp/rlapp/handlers/catchup"
)

// store is an event store with a clock: event i has position i+1.
type store struct {
	now    time.Time
	events []time.Time
	took   time.Duration // by each look
	looked []time.Time   // at each event, first
	fails  bool
}

var errAway = errors.New("the store is away")

func (s *store) look(_ context.Context, settled int64) (newest int64, err error) {
	if s.fails {
		return 0, errAway
	}
	for int64(len(s.looked)) < settled {
		s.looked = append(s.looked, s.now)
	}
	s.now = s.now.Add(s.took)
	for _, at := range s.events {
		if !at.After(s.now) {
			newest++
		}
	}
	return newest, nil
}

// Whenever an event is stored, it is looked at once it has settled, and in time.
func TestEachEventIsLookedAtInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		begin := time.Now()
		s := &store{now: begin, took: time.Duration(rapid.IntRange(0, 2000).Draw(t, "took")) * time.Millisecond}
		for _, ms := range rapid.SliceOfN(rapid.IntRange(0, 100_000), 1, 20).Draw(t, "events") {
			s.events = append(s.events, begin.Add(time.Duration(ms)*time.Millisecond))
		}
		slices.SortFunc(s.events, time.Time.Compare)
		loop := catchup.Loop{Look: s.look, Clock: func() time.Time { return s.now }}
		for s.now.Before(begin.Add(3 * time.Minute)) {
			pause, err := loop.Once(context.Background())
			if err != nil || pause <= 0 {
				t.Fatalf("pause %v, error %v", pause, err)
			}
			s.now = s.now.Add(pause)
		}
		if len(s.looked) != len(s.events) {
			t.Fatalf("%d of %d events were looked at", len(s.looked), len(s.events))
		}
		for i, at := range s.events {
			// While it is stored a look may be at work, and another one when it is due.
			if after := s.looked[i].Sub(at); after < catchup.SettledAfter || after > catchup.Within+3*s.took {
				t.Errorf("event %d was looked at after %v", i, after)
			}
		}
	})
}

func TestALookThatFailsIsMadeAgainSoon(t *testing.T) {
	s := &store{now: time.Now(), fails: true}
	loop := catchup.Loop{Look: s.look, Clock: func() time.Time { return s.now }}
	if pause, err := loop.Once(t.Context()); !errors.Is(err, errAway) || pause <= 0 || pause > 5*time.Second {
		t.Errorf("it is made again after %v, error %v", pause, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var told error
	if err := loop.Run(ctx, func(err error) { told = err; cancel() }); err != nil || !errors.Is(told, errAway) {
		t.Errorf("Run tells of %v and returns %v", told, err)
	}
}
