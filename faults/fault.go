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
	// strike makes it go wrong, while the clients are at work, for as long as it is
	// told, and mends it.
	strike func(ctx context.Context, s *system, lasts time.Duration) error
	// gated says that the clients pause until strike has called system.struck: it takes
	// a while until it goes wrong.
	gated bool
	// special says that it needs a small disk and a clock that can be stepped.
	special bool
}

// faults lists all, in the order in which they are tried.
func faults() []fault {
	var all []fault
	for _, some := range [][]fault{kills(), networkFaults(), databaseFaults(), brokerFaults(), wireFaults(), operationFaults()} {
		all = append(all, some...)
	}
	return all
}

// during holds a fault for as long as it lasts.
func during(ctx context.Context, lasts time.Duration, heal func() error) error {
	pause(ctx, lasts)
	return heal()
}
