package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// stage is one part of a process that runs until it is stopped.
type stage struct {
	name string
	// run works until ctx ends or stop is called.
	run func(ctx context.Context) error
	// ready closes when the part is at work; nil means at once.
	ready func() <-chan struct{}
	// stop lets what is in flight finish; nil means that ctx ends.
	stop func() error
}

// runningStage is a stage with its goroutine.
type runningStage struct {
	stage
	cancel   context.CancelFunc
	stopping atomic.Bool
	done     chan struct{}
	err      error
}

// process runs stages in order and stops them in the reverse order.
type process struct {
	logger  *slog.Logger
	running []*runningStage
	failed  chan error
}

func newProcess(logger *slog.Logger) *process {
	return &process{logger: logger, failed: make(chan error, 1)}
}

// start runs a stage and waits until it is ready.
func (p *process) start(ctx context.Context, s stage) error {
	// A stage outlives the signal that ends the process: it is stopped in its turn.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &runningStage{stage: s, cancel: cancel, done: make(chan struct{})}
	p.running = append(p.running, r)
	go func() {
		defer close(r.done)
		r.err = s.run(own)
		if r.stopping.Load() {
			return
		}
		if r.err == nil {
			r.err = errEndedByItself
		}
		select {
		case p.failed <- fmt.Errorf("%s: %w", s.name, r.err):
		default: // another part failed before
		}
	}()
	if s.ready == nil {
		return nil
	}
	select {
	case <-s.ready():
		return nil
	case <-r.done:
		return fmt.Errorf("start %s: %w", s.name, r.err)
	case <-ctx.Done():
		return fmt.Errorf("start %s: %w", s.name, ctx.Err())
	}
}

// wait returns when ctx ends, with nil, or when a stage fails.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.failed:
		return err
	}
}

// stop ends all stages, the last one first, within the timeout in all.
func (p *process) stop(timeout time.Duration) error {
	deadline, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var errs []error
	for i := len(p.running) - 1; i >= 0; i-- {
		r := p.running[i]
		if err := r.end(deadline.Done()); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", r.name, err))
		}
		p.logger.Debug("stopped", "part", r.name)
	}
	p.running = nil
	return errors.Join(errs...)
}

// errEndedByItself is reported for a part that stopped working without being told.
var errEndedByItself = errors.New("it ended by itself")

// errTooSlow is returned for a stage that does not end in time.
var errTooSlow = errors.New("it did not end in time")

// end stops one stage. What its run returned was reported when it failed.
func (r *runningStage) end(deadline <-chan struct{}) error {
	defer r.cancel()
	r.stopping.Store(true)
	if r.stage.stop != nil {
		stopped := make(chan error, 1)
		go func() { stopped <- r.stage.stop() }()
		select {
		case err := <-stopped:
			if err != nil {
				return err
			}
		case <-deadline:
			return errTooSlow
		}
	}
	r.cancel()
	select {
	case <-r.done:
		return nil
	case <-deadline:
		return errTooSlow
	}
}
