package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
)

// campaign tries faults, several at a time, and keeps what was found.
type campaign struct {
	program string
	size    size
	rounds  int  // of each fault
	resume  bool // adds to what was found before
	seed    uint64
	commit  string

	mu     sync.Mutex
	report report
	errs   []error
}

// run tries the faults on several labs, and returns what was wrong. Those that take
// longest come first.
func (c *campaign) run(ctx context.Context, chosen []fault, labs int) error {
	next := make(chan fault)
	var group sync.WaitGroup
	for range labs {
		group.Go(func() {
			l := &lab{program: c.program}
			for f := range next {
				c.try(ctx, l, f)
			}
			c.wrong(l.close())
		})
	}
	for _, f := range inOrder(chosen) {
		select {
		case next <- f:
		case <-ctx.Done():
		}
	}
	close(next)
	group.Wait()
	return errors.Join(append(c.errs, ctx.Err())...)
}

// inOrder puts the faults that take longest first, so that none of them is left at the
// end to one lab while the others have nothing to do.
func inOrder(chosen []fault) []fault {
	first := func(f fault) int { return int(one(!f.heavy) + one(!f.special)) }
	sorted := slices.Clone(chosen)
	slices.SortStableFunc(sorted, func(a, b fault) int { return first(a) - first(b) })
	return sorted
}

// try adds the rounds of a fault that are left to what was found before.
func (c *campaign) try(ctx context.Context, l *lab, f fault) {
	if ctx.Err() != nil {
		return
	}
	found := c.before(f)
	if found.wrong() {
		c.wrong(fmt.Errorf("%s was found wrong in %s", f.name, found.Commits[len(found.Commits)-1]))
	}
	var err error
	for asked := c.rounds; found.left(asked) > 0 && err == nil; asked = found.enough(c.rounds) {
		err = l.try(ctx, f, c.size, rounds{done: found.Rounds, asked: asked, seed: c.seed}, func(one counts) {
			found.add(one, c.commit, f.evidence.seen(one))
			fmt.Fprintf(os.Stderr, "%-32s round %d of %d: %+v\n", f.name, found.Rounds, asked, one)
			c.keep(found)
		})
	}
	if ctx.Err() == nil {
		c.wrong(err)
	}
	if found.vacuous() {
		c.wrong(&vacuousError{fault: f.name, rounds: found.Rounds, what: f.evidence.what})
	}
}

// before is what to add to.
func (c *campaign) before(f fault) result {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.resume {
		return result{}.goOn(f, c.commit)
	}
	return c.report.of(f.name).goOn(f, c.commit)
}

// keep keeps what was found, in the long form also when the rest is broken off.
func (c *campaign) keep(found result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.put(found)
	if c.size == long {
		if err := c.report.write(results); err != nil {
			c.errs = append(c.errs, err)
		}
	}
}

// wrong tells at once what is wrong, and again in the end.
func (c *campaign) wrong(err error) {
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, err)
}
