package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rlapp/rlapp/schema"
)

// MarkStore keeps which events handlers are done with. It is safe for concurrent use.
type MarkStore interface {
	// Mark notes that each of the handlers is done with the event of the same index.
	Mark(ctx context.Context, handlers, eventIDs []string) error
	// Begin reports whether a handler is marked done with an event, and if not notes that it
	// is begun, unless again says that the caller has, and returns how often it was.
	Begin(ctx context.Context, handler, eventID string, again bool) (done bool, tries int, err error)
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

	flushing sync.Mutex
	mu       sync.Mutex
	unstored marks
	begun    map[string]string // the missed event that each handler is at
}

// marks are handlers with an event each.
type marks struct{ handlers, eventIDs []string }

// NewMarks returns a Marks that has nothing to store yet.
func NewMarks(store MarkStore, logger *slog.Logger) *Marks {
	return &Marks{store: store, logger: logger, room: make(chan struct{}, maxUnstored), begun: map[string]string{}}
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

// flush stores the marks that there are. What it fails with stays.
func (m *Marks) flush(ctx context.Context) error {
	m.flushing.Lock()
	defer m.flushing.Unlock()
	m.mu.Lock()
	some := m.unstored // which more are only appended to
	m.mu.Unlock()
	n := len(some.handlers)
	if n == 0 {
		return nil
	}
	if err := m.store.Mark(ctx, some.handlers, some.eventIDs); err != nil {
		return err
	}
	m.mu.Lock()
	m.unstored = marks{m.unstored.handlers[n:], m.unstored.eventIDs[n:]}
	m.mu.Unlock()
	for range n {
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
	delete(m.begun, handler)
	return nil
}

// begin reports whether a handler is done with a missed event, as far as that is known, and
// if not how many processes have begun it.
func (m *Marks) begin(ctx context.Context, handler, eventID string) (done bool, tries int, err error) {
	m.mu.Lock()
	done, again := m.unstored.has(handler, eventID), m.begun[handler] == eventID
	m.mu.Unlock()
	if done {
		return true, 0, nil
	}
	done, tries, err = m.store.Begin(ctx, handler, eventID, again)
	if err == nil && !done {
		m.mu.Lock()
		m.begun[handler] = eventID
		m.mu.Unlock()
	}
	return done, tries, err
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

// maxTries is how many processes may begin a missed event and end before they are done with
// it: it may be what ends them. What comes in its time has the transport's own limit.
const maxTries = 10

var errBrokenOff = errors.New("the event was missed, and each of ten processes that began to handle it ended before it was done; another handler's event may have ended them")

// leaveDone leaves a missed event that the handler is done with by now: it was on its way.
func (r registration) leaveDone(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		if msg.Metadata.Get(schema.HeaderMissed) == "" {
			return next(msg)
		}
		done, tries, err := r.config.Marks.begin(msg.Context(), r.queue.Handler, msg.UUID)
		switch {
		case err != nil:
			return nil, &passingError{err}
		case done:
			return nil, nil
		}
		delete(msg.Metadata, schema.HeaderMissed) // a replay would be left, too
		if tries > maxTries {
			return nil, errBrokenOff
		}
		return next(msg)
	}
}
