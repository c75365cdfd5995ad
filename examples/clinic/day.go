package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/rlapp/rlapp/client"
)

// day is the work of everybody in the clinic.
type day struct {
	api      *client.ClientWithResponses
	options  options
	patients []*person

	mu      sync.Mutex // guards what follows, and what has happened to the patients
	arrived bool       // all have come
	latest  int64      // position of the last check-in
}

var (
	desks = []string{"desk-1", "desk-2"}
	rooms = []string{"room-1", "room-2"}
)

// work lets everybody work until the last patient has left.
func (d *day) work(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		errs  []error
	)
	worker := func(work func(context.Context) error) {
		group.Go(func() {
			if err := work(ctx); err != nil && !errors.Is(err, context.Canceled) {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
				cancel() // without one of them the day does not end
			}
		})
	}
	worker(d.reception)
	for _, id := range desks {
		worker(func(ctx context.Context) error { return d.desk(ctx, id) })
	}
	for _, id := range rooms {
		worker(func(ctx context.Context) error { return d.room(ctx, id) })
	}
	group.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

func (d *day) reception(ctx context.Context) error {
	for _, p := range d.patients[1:] {
		if err := d.rest(ctx); err != nil {
			return err
		}
		if err := d.checkIn(ctx, p); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.arrived = true
	return nil
}

func (d *day) checkIn(ctx context.Context, p *person) error {
	body := client.CheckInJSONRequestBody{
		QueueId: d.options.queue, PatientId: p.id, PatientName: p.fullName, Priority: p.priority, ConsultationType: "General medicine",
		Actor: ref("reception"),
	}
	if p.age != nil {
		body.Age = ref(int64(*p.age))
	}
	if p.pregnant {
		body.IsPregnant = ref(true)
	}
	answer, err := client.Accepted(d.api.CheckInWithResponse(ctx, nil, body))
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.latest = answer.JSON200.Position
	return nil
}

// rest is the time that a step takes.
func (d *day) rest(ctx context.Context) error {
	timer := time.NewTimer(d.options.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gone reports whether all patients have come and left.
func (d *day) gone(ctx context.Context) (bool, error) {
	d.mu.Lock()
	arrived, latest := d.arrived, d.latest
	d.mu.Unlock()
	if !arrived {
		return false, nil
	}
	answer, err := client.Accepted(d.api.BoardWithResponse(ctx, d.options.queue, &client.BoardParams{MinPosition: &latest}))
	if err != nil {
		return false, err
	}
	return len(answer.JSON200.Patients) == 0, nil
}

func (d *day) person(id string) *person {
	for _, p := range d.patients {
		if p.id == id {
			return p
		}
	}
	return &person{id: id}
}

// once reports whether something that is to happen so often happens now, and counts it.
func (d *day) once(count *int, often int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if *count >= often {
		return false
	}
	*count++
	return true
}

// report tells how every visit ended.
func (d *day) report(ctx context.Context, out io.Writer) error {
	fmt.Fprintln(out, "\nThe day is over.")
	var errs []error
	for _, p := range d.patients {
		answer, err := client.Accepted(d.api.JourneyWithResponse(ctx, d.options.queue, &client.JourneyParams{PatientId: p.id}))
		if err != nil {
			return err
		}
		steps := answer.JSON200.Steps
		ended := steps[len(steps)-1].Status
		fmt.Fprintf(out, "  %s  %-28s %2d steps, %s\n", deref(steps[0].Detail), p.name, len(steps), ended)
		if ended != p.ends {
			errs = append(errs, fmt.Errorf("%s, who %s, ended as %s", p.id, p.name, ended))
		}
	}
	return errors.Join(errs...)
}

func ref[T any](v T) *T { return &v }

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
