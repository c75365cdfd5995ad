package main

import "fmt"

// evidence is what shows that a fault struck. A fault that never did proves nothing.
type evidence struct {
	what string
	seen func(counts) bool
}

// What most faults leave behind.
var (
	askedAgain     = evidence{"requests without an answer", func(c counts) bool { return c.Asked > 0 }}
	answeredAgain  = evidence{"answers given again", func(c counts) bool { return c.Replayed > 0 }}
	deliveredAgain = evidence{"duplicates on the wire", func(c counts) bool { return c.Duplicates > 0 }}
	heldUp         = evidence{"events held up", func(c counts) bool { return c.Held > 0 }}
)

// hits is what the fault counted itself.
func hits(what string) evidence { return evidence{what, func(c counts) bool { return c.Hits > 0 }} }

// slowed is an answer that took some seconds, or did not come at all.
func slowed(seconds float64) evidence {
	return evidence{fmt.Sprintf("answers after %.1f s or none", seconds), func(c counts) bool { return c.Asked > 0 || c.Slowest >= seconds }}
}

// vacuousError says that a fault has struck in none of its rounds.
type vacuousError struct {
	fault  string
	rounds int
	what   string
}

func (e *vacuousError) Error() string {
	return fmt.Sprintf("%s has struck in none of its %d rounds: no %s", e.fault, e.rounds, e.what)
}
