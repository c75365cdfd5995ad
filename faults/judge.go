package main

import "time"

// judge counts what is wrong with the answers by themselves: each refusal needs what
// justifies it.
func (w *workload) judge(c *counts) {
	type patient struct{ queue, id string }
	present := map[patient]int{}
	for _, r := range w.requests {
		if r.Command == checkIn && r.Outcome == acknowledged {
			present[patient{r.Queue, r.Patient}]++
		}
	}
	for _, n := range present {
		c.Doubled += int64(n - 1)
	}
	for _, r := range w.requests {
		c.note(r)
		switch r.Outcome {
		case indeterminate:
			c.Stuck++ // it can always ask again
		case rejected:
			if as := w.unjustified(c, r, present[patient{r.Queue, r.Patient}] > 0); as != nil {
				*as++
			}
		}
	}
}

// unjustified is what a refusal counts as; nil where something justifies it.
func (w *workload) unjustified(c *counts, r *request, here bool) *int64 {
	switch {
	case r.Command == checkIn && r.Code == "already_checked_in":
		if !here {
			return &c.Lost
		}
	case r.Command == checkIn:
		return &c.Misanswered
	case r.Command != openRoom && r.Command != callToDesk:
		return &c.Lost // the step before it was acknowledged
	case r.Code != "queue_not_found" && r.Code != "nobody_waiting":
		return &c.Misanswered
	case w.waiting(r.Queue, r.Sent) > 0:
		return &c.Lost
	}
	return nil
}

// note counts what is to be known of a request.
func (c *counts) note(r *request) {
	c.Acknowledged += one(r.Outcome == acknowledged)
	c.Rejected += one(r.Outcome == rejected)
	c.Asked += one(r.Asked)
	c.Replayed += one(r.Replayed)
	c.Misanswered += one(r.Broken)
	c.Slowest = max(c.Slowest, r.Slowest.Seconds())
}

func one(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// waiting is how many patients of a queue wait for its desk at a moment at least: those
// whose check-in had been answered, without those whom the desk has called. It has
// called nobody since, since it asks for one thing at a time.
func (w *workload) waiting(queue string, at time.Time) (n int) {
	for _, r := range w.requests {
		switch {
		case r.Queue != queue || r.Outcome != acknowledged:
		case r.Command == checkIn && r.Answered.Before(at):
			n++
		case r.Command == callToDesk && r.Sent.Before(at):
			n--
		}
	}
	return n
}
