package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rlapp/rlapp/schema"
)

// MarkStore keeps which events handlers are done with. It is safe for concurrent use.
type MarkStore interface {
	// Mark notes that each of the handlers is done with the event of the same index.
	Mark(ctx context.Context, handlers, eventIDs []string) error
	// IsDone reports whether a handler is marked done with an event.
	IsDone(ctx context.Context, handler, eventID string) (bool, error)
}

const (
	// markEvery is how often marks are stored: what a process that is killed was done with
	// for less comes again.
	markEvery = time.Second
	// maxUnstored bounds the marks in memory. With so many, handlers wait for the store.
	maxUnstored = 10_000
	// lastMarks bounds the storing of marks at the end.
	lastMarks = 5 * time.Second
)

// Marks notes which events the handlers of plugins are done with, be it that they handled
// them or gave them up, so that CatchUp finds what they have missed. It stores many at a
// time. It is safe for concurrent use.
type Marks struct {
	store  MarkStore
	logger *slog.Logger
	room   chan struct{} // holds a token for each mark that is not stored

	mu       sync.Mutex
	unstored marks
	storing  marks // by flush
	flushing sync.Mutex
}

// marks are handlers with an event each.
type marks struct{ handlers, eventIDs []string }

// NewMarks returns a Marks that has nothing to store yet.
func NewMarks(store MarkStore, logger *slog.Logger) *Marks {
	return &Marks{store: store, logger: logger, room: make(chan struct{}, maxUnstored)}
}

// Run stores marks until ctx ends, and what is left then. While that fails it is tried
// again, and when there is no room for more marks, handlers wait.
func (m *Marks) Run(ctx context.Context) error {
	ticks := time.NewTicker(markEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			if err := m.flush(ctx); err != nil && ctx.Err() == nil {
				m.logger.WarnContext(ctx, "what plugins are done with could not be stored; it is tried again", "Component", "ProjectionWorker", "error", err)
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastMarks)
			defer cancel()
			if err := m.flush(last); err != nil {
				m.logger.WarnContext(last, "what plugins are done with could not be stored; it comes again", "Component", "ProjectionWorker", "error", err)
			}
			return nil
		}
	}
}

// flush stores the marks that there are.
func (m *Marks) flush(ctx context.Context) error {
	m.flushing.Lock()
	defer m.flushing.Unlock()
	m.mu.Lock()
	if len(m.storing.handlers) == 0 { // else the last try failed
		m.storing, m.unstored = m.unstored, marks{}
	}
	some := m.storing
	m.mu.Unlock()
	if len(some.handlers) == 0 {
		return nil
	}
	if err := m.store.Mark(ctx, some.handlers, some.eventIDs); err != nil {
		return err
	}
	m.mu.Lock()
	m.storing = marks{}
	m.mu.Unlock()
	for range some.handlers {
		<-m.room
	}
	return nil
}

// note notes that a handler is done with an event. It waits while there is no room, until
// ctx ends.
func (m *Marks) note(ctx context.Context, handler, eventID string) error {
	select {
	case m.room <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("note that an event is done: %w", ctx.Err())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unstored.handlers = append(m.unstored.handlers, handler)
	m.unstored.eventIDs = append(m.unstored.eventIDs, eventID)
	return nil
}

// isDone reports whether a handler is done with an event, as far as that is known.
func (m *Marks) isDone(ctx context.Context, handler, eventID string) (bool, error) {
	m.mu.Lock()
	done := m.unstored.has(handler, eventID) || m.storing.has(handler, eventID)
	m.mu.Unlock()
	if done {
		return true, nil
	}
	return m.store.IsDone(ctx, handler, eventID)
}

func (m marks) has(handler, eventID string) bool {
	for i, id := range m.eventIDs {
		if id == eventID && m.handlers[i] == handler {
			return true
		}
	}
	return false
}

// mark notes what the handler is done with.
func (r registration) mark(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		produced, err := next(msg)
		if err == nil {
			err = r.config.Marks.note(msg.Context(), r.queue.Handler, msg.UUID)
		}
		return produced, err
	}
}

// maxBrokenOff is how often a missed event may come again since nobody ended it, as when
// it ends the process. What came in its time has the transport's own limit.
const maxBrokenOff = 10

var errBrokenOff = errors.New("the event was missed, and handling it was broken off too often")

// leaveDone leaves a missed event that the handler is done with by now: it was on its way.
func (r registration) leaveDone(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		if msg.Metadata.Get(schema.HeaderMissed) == "" {
			return next(msg)
		}
		done, err := r.config.Marks.isDone(msg.Context(), r.queue.Handler, msg.UUID)
		if err != nil {
			return nil, &passingError{err}
		}
		if done {
			return nil, nil
		}
		delete(msg.Metadata, schema.HeaderMissed) // a replay would be left, too
		if n, _ := strconv.Atoi(msg.Metadata.Get(r.config.BrokenOffKey)); n >= maxBrokenOff {
			return nil, fmt.Errorf("%w: %d times", errBrokenOff, n)
		}
		return next(msg)
	}
}
