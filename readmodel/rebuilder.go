package readmodel

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// RebuildRunningError is returned when a projection is being rebuilt already.
type RebuildRunningError struct{ ProjectionID string }

func (e *RebuildRunningError) Error() string {
	return fmt.Sprintf("projection %q is being rebuilt; wait until that has ended", e.ProjectionID)
}

// Rebuilder runs rebuilds in the background, at most one of a projection. It is safe for
// concurrent use.
type Rebuilder struct {
	store  *Store
	logger *slog.Logger

	ctx    context.Context // the life of the background work, ended by Close
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu      sync.Mutex
	running map[string]Progress
}

// NewRebuilder returns a rebuilder; Close it to end what it runs.
func NewRebuilder(store *Store, logger *slog.Logger) *Rebuilder {
	ctx, cancel := context.WithCancel(context.Background())
	return &Rebuilder{store: store, logger: logger, ctx: ctx, cancel: cancel, running: map[string]Progress{}}
}

// Start begins the rebuilds, which run one after another, or returns *RebuildRunningError and begins none.
func (r *Rebuilder) Start(projections ...Projection) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.ctx.Err(); err != nil {
		return fmt.Errorf("the process is stopping: %w", err)
	}
	for _, p := range projections {
		if _, running := r.running[p.ID]; running {
			return &RebuildRunningError{ProjectionID: p.ID}
		}
	}
	for _, p := range projections {
		r.running[p.ID] = Progress{}
	}
	// One after another: each holds a connection for as long as it takes.
	r.group.Go(func() {
		for _, p := range projections {
			r.rebuild(p)
		}
	})
	return nil
}

// Running reports whether this process is rebuilding a projection.
func (r *Rebuilder) Running(projectionID string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, running := r.running[projectionID]
	return running
}

// Progress returns how far this process's rebuild of a projection has come; zero
// while none runs.
func (r *Rebuilder) Progress(projectionID string) Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running[projectionID]
}

// Close breaks off what runs, which changes nothing, and waits for its end.
func (r *Rebuilder) Close() {
	r.mu.Lock()
	r.cancel()
	r.mu.Unlock()
	r.group.Wait()
}

// reportEvery is how often a rebuild logs how far it has come.
const reportEvery = 3 * time.Second

func (r *Rebuilder) rebuild(p Projection) {
	defer func() {
		r.mu.Lock()
		delete(r.running, p.ID)
		r.mu.Unlock()
	}()
	start := time.Now()
	logger := r.logger.With("Component", "ProjectionWorker", "projection", p.ID)
	logger.InfoContext(r.ctx, "rebuild started")
	reported := start
	events, err := r.store.Rebuild(r.ctx, p, func(now Progress) {
		r.mu.Lock()
		r.running[p.ID] = now
		r.mu.Unlock()
		if time.Since(reported) > reportEvery {
			reported = time.Now()
			logger.InfoContext(r.ctx, "rebuild goes on", "events", now.Events, "total", now.Total,
				"eventsPerSecond", int(float64(now.Events)/time.Since(start).Seconds()))
		}
	})
	took := float64(time.Since(start).Microseconds()) / 1000
	if err != nil {
		logger.ErrorContext(r.ctx, "rebuild failed; the read model is as it was", "EventType", "ProjectionError", "ProcessingDurationMs", took, "error", err)
		return
	}
	logger.InfoContext(r.ctx, "rebuild done", "events", events, "ProcessingDurationMs", took)
}
