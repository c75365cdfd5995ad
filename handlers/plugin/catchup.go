package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/handlers/catchup"
)

// EventStore finds what handlers have missed. It is safe for concurrent use.
type EventStore interface {
	// Newest is the position of the last event, 0 where there is none.
	Newest(ctx context.Context) (position int64, err error)
	// Missed returns the first events of a kind, up to a position, that everybody was told
	// of but that the handler is not marked done with, as messages with
	// schema.HeaderMissed; not all of them where they are many. Up to checked it is
	// done with all, and the next call goes on there.
	Missed(ctx context.Context, handler, eventName string, upTo int64) (missed []*message.Message, checked int64, err error)
	// Reached is the last position among those that a handler is marked done with, 0 where
	// it is not known.
	Reached(ctx context.Context, handler string) (position int64, err error)
}

// Transport reaches the queues of handlers. It is safe for concurrent use.
type Transport struct {
	// Waiting is how many messages wait in a handler's queue.
	Waiting func(ctx context.Context, handler string) (int, error)
	// Hand gives messages to a handler's queue alone.
	Hand func(handler string, messages ...*message.Message) error
}

// CatchUp sends the handlers of plugins what they have missed: what was published while
// somebody had deleted the queue or its binding, and what the queue held. It looks for
// stored events that a handler is not marked done with, within catchup.Within of their
// commit and of its start. They may wait in the handler's queue, so it sends them when that
// is empty, or when the handler is done with what was stored after they were found. What is
// sent comes behind later events. It is used by one goroutine.
type CatchUp struct {
	queues    []Queue
	store     EventStore
	transport Transport
	logger    *slog.Logger
	sent      *prometheus.CounterVec
	loop      catchup.Loop
	states    map[string]*state
}

// state is what is known of a handler.
type state struct {
	checked int64 // it has missed nothing up to here
	// first is the first event that it has missed, and newest the position of the store's
	// last one when that was found, or sent the last time.
	first  string
	newest int64
	// Where sending it did not help, the handler is slow, and the next time has to wait.
	pause time.Duration
	next  time.Time
}

const (
	// firstPause is the wait before the same events are sent once more; it doubles up to
	// maxPause.
	firstPause = 10 * time.Second
	maxPause   = 10 * time.Minute
)

// NewCatchUp returns a CatchUp for the handlers of plugins; Run does the work. Its counter
// is registered unless registerer is nil.
func NewCatchUp(plugins []Plugin, store EventStore, transport Transport, logger *slog.Logger, registerer prometheus.Registerer) (*CatchUp, error) {
	c := &CatchUp{
		queues: Queues(plugins), store: store, transport: transport, logger: logger, states: map[string]*state{},
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plugin_catch_up_events_total",
			Help: "Events that plugins were sent from the event store, since they were not done with them.",
		}, []string{"handler"}),
	}
	for _, q := range c.queues {
		c.states[q.Handler] = &state{}
		c.sent.WithLabelValues(q.Handler)
	}
	c.loop.Look = c.look
	if registerer != nil {
		if err := registerer.Register(c.sent); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Run looks at the event store until ctx ends. Several processes may do so at once.
func (c *CatchUp) Run(ctx context.Context) error {
	return c.loop.Run(ctx, func(err error) {
		c.logger.WarnContext(ctx, "plugins could not be sent what they have missed; it is tried again", "Component", "ProjectionWorker", "error", err)
	})
}

// look sends each handler what it has missed of the events up to a position. One that
// fails is no reason to leave the others.
func (c *CatchUp) look(ctx context.Context, settled int64) (newest int64, err error) {
	if newest, err = c.store.Newest(ctx); err != nil {
		return 0, err
	}
	var errs []error
	for _, q := range c.queues {
		errs = append(errs, c.bring(ctx, q, settled, newest))
	}
	return newest, errors.Join(errs...)
}

// bring sends a handler what it has missed up to a position.
func (c *CatchUp) bring(ctx context.Context, q Queue, settled, newest int64) error {
	s := c.states[q.Handler]
	for s.checked < settled {
		missed, checked, err := c.store.Missed(ctx, q.Handler, q.EventName, settled)
		if err != nil {
			return err
		}
		if len(missed) > 0 {
			return c.send(ctx, q.Handler, missed, newest)
		}
		if checked <= s.checked {
			return nil // the next event is late
		}
		s.checked = checked
	}
	return nil
}

// send hands messages to a handler that is sure not to get them otherwise, or has them at
// hand. newest is the position of the store's last event.
func (c *CatchUp) send(ctx context.Context, handler string, missed []*message.Message, newest int64) error {
	s := c.states[handler]
	if first := missed[0].UUID; first != s.first {
		*s = state{checked: s.checked, first: first, newest: newest}
	}
	if c.loop.Now().Before(s.next) {
		return nil
	}
	if waits, err := c.waits(ctx, handler, s.newest); err != nil || waits {
		return err
	}
	if err := c.transport.Hand(handler, missed...); err != nil {
		return fmt.Errorf("send %s what it has missed: %w", handler, err)
	}
	c.sent.WithLabelValues(handler).Add(float64(len(missed)))
	c.logger.WarnContext(ctx, "a plugin's handler was sent events from the store: it has missed them, or takes long", "Component", "ProjectionWorker",
		"handler", handler, "events", len(missed), "again", s.pause > 0)
	s.pause = min(max(2*s.pause, firstPause), maxPause)
	s.next, s.newest = c.loop.Now().Add(s.pause), newest
	return nil
}

// waits reports whether what was published before the store had an event after a position
// may be in the queue: that has messages, and the handler is done with none behind it.
func (c *CatchUp) waits(ctx context.Context, handler string, position int64) (bool, error) {
	n, err := c.transport.Waiting(ctx, handler)
	if err != nil || n == 0 {
		return false, err
	}
	reached, err := c.store.Reached(ctx, handler)
	return reached <= position, err
}
