package readmodel

import (
	"context"
	"errors"
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

// Rebuilder runs rebuilds in the background, at most one of a projection in all
// processes. It is safe for concurrent use.
type Rebuilder struct {
	store  *Store
	logger *slog.Logger

	ctx    context.Context // the life of the background work, ended by Close
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu      sync.Mutex
	running map[string]Progress
	queues  map[string]bool
}

// NewRebuilder returns a rebuilder; Close it to end what it runs.
func NewRebuilder(store *Store, logger *slog.Logger) *Rebuilder {
	ctx, cancel := context.WithCancel(context.Background())
	return &Rebuilder{
		store: store, logger: logger, ctx: ctx, cancel: cancel, running: map[string]Progress{}, queues: map[string]bool{},
	}
}

// Start begins the rebuilds, which run one after another, once record has noted them. It
// returns *RebuildRunningError where this process or another one rebuilds one of the
// projections, or record's error, and begins none.
func (r *Rebuilder) Start(record func() error, projections ...Projection) error {
	return r.start(record, r.store.Rebuild, "rebuild", projections...)
}

// RollBack begins to put the tables back that a projection's last rebuild replaced, once
// record has noted it. It returns *RebuildRunningError or record's error, or
// *NotFoundError or *PreviousError where that cannot be.
func (r *Rebuilder) RollBack(ctx context.Context, record func() error, p Projection) error {
	// Looked at after the lock: a rollback that runs has taken the kept tables.
	possible := func() error {
		if err := r.store.canRollBack(ctx, p); err != nil {
			return err
		}
		return record()
	}
	return r.start(possible, func(ctx context.Context, p Projection, progress func(Progress)) (int64, error) {
		return 0, r.store.RollBack(ctx, p, progress)
	}, "rollback", p)
}

// Unrecorded is for what nobody has asked for.
func Unrecorded() error { return nil }

// rebuilding makes one projection's tables.
type rebuilding func(ctx context.Context, p Projection, progress func(Progress)) (events int64, err error)

// lookForLocks bounds the look whether other processes are rebuilding.
const lookForLocks = 5 * time.Second

func (r *Rebuilder) start(record func() error, work rebuilding, what string, projections ...Projection) error {
	claim := func() error {
		for _, p := range projections {
			if _, running := r.running[p.ID]; running {
				return &RebuildRunningError{ProjectionID: p.ID}
			}
		}
		for _, p := range projections {
			r.running[p.ID] = Progress{}
		}
		return nil
	}
	release := func() {
		for _, p := range projections {
			delete(r.running, p.ID)
		}
	}
	// The work takes each lock itself when it gets there: of two processes that are asked
	// before, one may find that the other has begun. It does nothing, and logs it.
	unlocked := func() error {
		ctx, cancel := context.WithTimeout(r.ctx, lookForLocks)
		defer cancel()
		if err := r.store.notRebuilding(ctx, projections); err != nil {
			return err
		}
		return record()
	}
	return r.begin(claim, release, unlocked, func() {
		// One after another: each holds a connection for as long as it takes.
		for _, p := range projections {
			r.run(work, what, p)
		}
	})
}

// begin works in the background on what has been claimed and recorded. Claimed first,
// since what is refused is not recorded; recorded then, since what is not is not begun.
func (r *Rebuilder) begin(claim func() error, release func(), record func() error, work func()) error {
	if err := r.claim(claim); err != nil {
		return err
	}
	if err := record(); err != nil {
		defer r.group.Done()
		r.mu.Lock()
		defer r.mu.Unlock()
		release()
		return err
	}
	go func() {
		defer r.group.Done()
		work()
	}()
	return nil
}

// claim takes what begin works on; Close waits from here on.
func (r *Rebuilder) claim(claim func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.ctx.Err(); err != nil {
		return fmt.Errorf("the process is stopping: %w", err)
	}
	if err := claim(); err != nil {
		return err
	}
	r.group.Add(1)
	return nil
}

// maxQueues bounds the queues that are rebuilt at a time: each takes a connection.
const maxQueues = 2

// QueueRebuildError says that a queue cannot be rebuilt now.
type QueueRebuildError struct {
	QueueID string
	// Running says that it is being rebuilt; else others are.
	Running bool
}

func (e *QueueRebuildError) Error() string {
	if e.Running {
		return fmt.Sprintf("queue %q is being rebuilt; wait until that has ended", e.QueueID)
	}
	return "other queues are being rebuilt; wait until one has ended"
}

// StartQueue begins to rebuild one queue in all projections, once record has noted it, or
// returns *QueueRebuildError or record's error. Rebuilds of whole projections, here or in
// other processes, are no hindrance: until they end, the live rows are what readers see.
func (r *Rebuilder) StartQueue(record func() error, queueID string) error {
	claim := func() error {
		if r.queues[queueID] || len(r.queues) >= maxQueues {
			return &QueueRebuildError{QueueID: queueID, Running: r.queues[queueID]}
		}
		r.queues[queueID] = true
		return nil
	}
	return r.begin(claim, func() { delete(r.queues, queueID) }, record, func() { r.runQueue(queueID) })
}

// Running reports whether this process is rebuilding a projection.
func (r *Rebuilder) Running(projectionID string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, running := r.running[projectionID]
	return running
}

// Queued reports whether this process is about to rebuild a projection.
func (r *Rebuilder) Queued(projectionID string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	progress, running := r.running[projectionID]
	return running && progress == Progress{}
}

// Progress returns how far this process's rebuild of a projection has come; zero
// while none runs.
func (r *Rebuilder) Progress(projectionID string) Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running[projectionID]
}

// Close breaks off what runs and waits for its end. The next process goes on with it.
func (r *Rebuilder) Close() {
	r.mu.Lock()
	r.cancel()
	r.mu.Unlock()
	r.group.Wait()
}

// lookForUnfinished is how often rebuilds are looked for that another process left, and
// lookAgain while there are some: a session that was killed holds its lock for a moment.
const (
	lookForUnfinished = time.Minute
	lookAgain         = 2 * time.Second
)

// Run goes on with rebuilds that a process left unfinished, until ctx ends or Close is
// called.
func (r *Rebuilder) Run(ctx context.Context) error {
	for {
		pause := lookForUnfinished
		if r.resume(ctx) {
			pause = lookAgain
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-r.ctx.Done():
		case <-timer.C:
			continue
		}
		timer.Stop()
		return nil
	}
}

// resume reports whether there are unfinished rebuilds, here or elsewhere.
func (r *Rebuilder) resume(ctx context.Context) bool {
	unfinished, err := r.store.UnfinishedRebuilds(ctx)
	if err != nil && ctx.Err() == nil {
		r.logger.WarnContext(ctx, "unfinished rebuilds could not be looked for", "Component", "ProjectionWorker", "error", err)
	}
	for _, state := range unfinished {
		if p, known := ProjectionByID(state.ProjectionID); known && !r.Running(p.ID) {
			_ = r.Start(Unrecorded, p) // one that runs elsewhere is refused
		}
	}
	return len(unfinished) > 0
}

// reportEvery is how often a rebuild logs how far it has come.
const reportEvery = 3 * time.Second

func (r *Rebuilder) run(work rebuilding, what string, p Projection) {
	defer func() {
		r.mu.Lock()
		delete(r.running, p.ID)
		r.mu.Unlock()
	}()
	start := time.Now()
	logger := r.logger.With("Component", "ProjectionWorker", "projection", p.ID)
	logger.DebugContext(r.ctx, what+" begins")
	reported := start
	events, err := work(r.ctx, p, func(now Progress) {
		r.mu.Lock()
		r.running[p.ID] = now
		r.mu.Unlock()
		if time.Since(reported) > reportEvery {
			reported = time.Now()
			logger.InfoContext(r.ctx, what+" goes on", "events", now.Events, "total", now.Total)
		}
	})
	took := float64(time.Since(start).Microseconds()) / 1000
	var running *RebuildRunningError
	switch {
	case errors.As(err, &running):
		// Who asked for it was told that it begins.
		logger.InfoContext(r.ctx, "another process has begun to rebuild it; this one does nothing")
	case err != nil && r.ctx.Err() != nil:
		logger.InfoContext(r.ctx, what+" broken off; the next process goes on with it", "ProcessingDurationMs", took)
	case Passing(err):
		logger.WarnContext(r.ctx, what+" was interrupted; it goes on in a while", "ProcessingDurationMs", took, "error", err)
	case err != nil:
		logger.ErrorContext(r.ctx, what+" failed; the read model is as it was", "EventType", "ProjectionError", "ProcessingDurationMs", took, "error", err)
	default:
		r.report(logger, what+" done", p, events, took)
	}
}

// report logs the end, with the rows in which the live tables differed.
func (r *Rebuilder) report(logger *slog.Logger, message string, p Projection, events int64, took float64) {
	state, err := r.store.RebuildStateOf(r.ctx, p.ID)
	if err != nil {
		logger.WarnContext(r.ctx, "the differences could not be read", "error", err)
	}
	var onlyLive, onlyRebuilt int64
	for _, d := range state.Differences {
		onlyLive, onlyRebuilt = onlyLive+d.OnlyLive, onlyRebuilt+d.OnlyRebuilt
	}
	logger.InfoContext(r.ctx, message, "events", events, "ProcessingDurationMs", took, "rowsOnlyLive", onlyLive, "rowsOnlyRebuilt", onlyRebuilt)
}

func (r *Rebuilder) runQueue(queueID string) {
	defer func() {
		r.mu.Lock()
		delete(r.queues, queueID)
		r.mu.Unlock()
	}()
	start := time.Now()
	events, err := r.store.RebuildQueue(r.ctx, queueID)
	took := float64(time.Since(start).Microseconds()) / 1000
	if err != nil {
		r.logger.ErrorContext(r.ctx, "the rebuild of a queue failed; the read model is as it was", "Component", "ProjectionWorker",
			"EventType", "ProjectionError", "queueId", queueID, "ProcessingDurationMs", took, "error", err)
		return
	}
	r.logger.InfoContext(r.ctx, "a queue was rebuilt", "Component", "ProjectionWorker", "queueId", queueID, "events", events, "ProcessingDurationMs", took)
}
