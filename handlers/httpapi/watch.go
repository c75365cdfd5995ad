package httpapi

import (
	"context"
	"sync"
	"time"
)

// watchPauses are the times between two looks for changes: short after a command of
// this process, whose change is about to come, and then longer, for the commands of
// others.
const (
	watchSoon = 20 * time.Millisecond
	watchLate = time.Second
)

// watch follows the boards that somebody listens to. However many listen, each board is
// read once a change; with nobody listening it does nothing. It is safe for concurrent
// use.
type watch struct {
	max int
	// versions returns the versions of queues, and read a board.
	versions func(ctx context.Context, queueIDs []string) (map[string]int64, error)
	read     func(ctx context.Context, queueID string) (board, error)

	mu     sync.Mutex
	boards map[string]*watched
	count  int
	nudge  chan struct{}
	stop   context.CancelFunc // ends look
	done   chan struct{}      // closed when look has ended
}

// watched is a board that somebody listens to.
type watched struct {
	listeners int
	latest    board
	// changed is closed when there is a newer board.
	changed chan struct{}
}

func newWatch(maxListeners int) *watch {
	return &watch{max: maxListeners, boards: map[string]*watched{}, nudge: make(chan struct{}, 1)}
}

// soon says that a command of this process was carried out.
func (w *watch) soon() {
	select {
	case w.nudge <- struct{}{}:
	default:
	}
}

// join adds a listener to a queue, unless there are too many. The board is as it was
// read by the caller.
func (w *watch) join(b board) (joined bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count >= w.max {
		return false
	}
	w.count++
	if w.boards[b.QueueID] == nil {
		w.boards[b.QueueID] = &watched{latest: b, changed: make(chan struct{})}
	}
	w.boards[b.QueueID].listeners++
	if w.count == 1 {
		var ctx context.Context
		ctx, w.stop = context.WithCancel(context.Background())
		w.done = make(chan struct{})
		go w.look(ctx, w.done)
	}
	return true
}

// leave takes a listener off. The last one waits until nobody looks any more.
func (w *watch) leave(queueID string) {
	w.mu.Lock()
	done := w.done
	w.count--
	if b := w.boards[queueID]; b.listeners > 1 {
		b.listeners--
	} else {
		delete(w.boards, queueID)
	}
	last := w.count == 0
	if last {
		w.stop()
	}
	w.mu.Unlock()
	if last {
		<-done
	}
}

// latest is the newest board of a queue that is listened to, and what is closed when
// there is a newer one.
func (w *watch) latest(queueID string) (board, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.boards[queueID]
	return b.latest, b.changed
}

// look looks for changes until ctx ends.
func (w *watch) look(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	pause := watchSoon
	next := time.Now().Add(pause)
	for {
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-w.nudge: // the change comes in a moment; many commands do not put it off
			timer.Stop()
			pause = watchSoon
			if soon := time.Now().Add(pause); soon.Before(next) {
				next = soon
			}
			continue
		case <-timer.C:
		}
		if w.refresh(ctx) {
			pause = watchSoon
		} else {
			pause = min(2*pause, watchLate)
		}
		next = time.Now().Add(pause)
	}
}

// refresh reads the boards that have changed, and reports whether one has. What cannot
// be read now is read the next time.
func (w *watch) refresh(ctx context.Context) (changed bool) {
	w.mu.Lock()
	known := make(map[string]int64, len(w.boards))
	queueIDs := make([]string, 0, len(w.boards))
	for id, b := range w.boards {
		known[id] = b.latest.Version
		queueIDs = append(queueIDs, id)
	}
	w.mu.Unlock()
	versions, err := w.versions(ctx, queueIDs)
	if err != nil {
		return false
	}
	for id, version := range versions {
		if version == known[id] {
			continue
		}
		if b, err := w.read(ctx, id); err == nil {
			w.publish(b)
			changed = true
		}
	}
	return changed
}

func (w *watch) publish(b board) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.boards[b.QueueID]; old != nil {
		close(old.changed)
		old.latest, old.changed = b, make(chan struct{})
	}
}
