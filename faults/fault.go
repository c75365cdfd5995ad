package main

import (
	"context"
	"time"
)

// fault is one thing that goes wrong.
type fault struct {
	name string
	what string // for the table
	// lasts is how long it lasts in the long form.
	lasts time.Duration
	// strike makes it go wrong, while the clients are at work, and mends it.
	strike func(ctx context.Context, s *strike) error
	// evidence tells the rounds in which it did go wrong from those that it has passed by.
	evidence evidence
	// unnoticed says that no client may notice it: nobody has to ask again.
	unnoticed bool
	// gated says that the clients pause until strike has called struck: it takes a while
	// until it goes wrong.
	gated bool
	// special says that it needs a small disk and a clock that can be stepped.
	special bool
	// heavy says that it leaves so much that the next fault gets another system.
	heavy bool
}

// faults lists all, in the order in which they are shown.
func faults() []fault {
	var all []fault
	for _, some := range [][]fault{kills(), networkFaults(), databaseFaults(), brokerFaults(), wireFaults(), operationFaults()} {
		all = append(all, some...)
	}
	return all
}

// strike is a fault in one round: what it is told of the round, and what it finds.
type strike struct {
	*system
	work  *workload
	lasts time.Duration
	// struck tells the clients of a gated fault that it has gone wrong.
	struck func()

	// hits is what the fault itself counted of its effects.
	hits int64
	// held is what had waited for a while when that was seen first.
	held int64
}

// heldAfter is how long an event is under way at most while nothing is wrong.
const heldAfter = 250 * time.Millisecond

// during holds a fault for as long as it lasts, looks for what that holds up, and mends it.
func (s *strike) during(ctx context.Context, mend func() error) error {
	for end := time.Now().Add(s.lasts); time.Now().Before(end) && ctx.Err() == nil; {
		last, err := s.committed(ctx)
		pause(ctx, min(heldAfter, s.lasts/2, time.Until(end)))
		if err == nil && s.held == 0 {
			s.look(ctx, last)
		}
	}
	return mend()
}

// lookLimit bounds a look: the fault may keep it from what it looks at, and a busy machine
// takes its time with a long backlog.
const lookLimit = 2 * time.Second

// look notes how much of what was committed up to a position is held up now.
func (s *strike) look(ctx context.Context, upTo int64) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	if n, err := s.pending(ctx, s.work, span{s.work.began, upTo}); err == nil {
		s.held = n
	}
}

// hit notes an effect of the fault.
func (s *strike) hit(n int64) { s.hits += n }
