package main

import "sync"

// desk takes the patients of one queue through their visits, one after another. It asks
// for one thing at a time, and what it asks for follows from the last answer.
type desk struct {
	mu sync.Mutex

	open    bool // the room
	step    int
	patient string
	last    *request // without an answer
}

// The steps of a visit.
var steps = []string{callToDesk, validate, callToRoom, begin, finish}

// next returns what the desk asks for now: the last thing again where it has no answer,
// else r, which it fills in.
func (d *desk) next(r *request) *request {
	if d.last != nil {
		return d.last
	}
	r.Command = openRoom
	if d.open {
		r.Command = steps[d.step]
	}
	if commands[r.Command].ofPatient {
		r.Patient = d.patient
	}
	return r
}

// took notes an answer, or that there is none.
func (d *desk) took(r *request) {
	d.last = nil
	switch {
	case r.Outcome == indeterminate:
		d.last = r
	case r.Outcome == rejected: // the same again, another time
	case r.Command == openRoom:
		d.open = true
	default:
		d.step, d.patient = (d.step+1)%len(steps), r.Patient
	}
}
