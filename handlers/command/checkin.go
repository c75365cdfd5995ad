package command

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rlapp/rlapp/waitingroom"
)

// checkInTopic is the topic and the handler name of the command. It is public
// API: dashboards select by it.
const checkInTopic = "command.check-in"

// EventStore is what the use cases need of the event store.
type EventStore interface {
	// Load replays a queue; one without events comes back at version 0.
	Load(ctx context.Context, queueID string) (*waitingroom.Queue, error)
	// Append writes events behind version expected, or returns *waitingroom.Error
	// with CodeConflict when the queue has moved on.
	Append(ctx context.Context, queueID string, expected int64, events []waitingroom.Event, cause waitingroom.Cause) (waitingroom.Appended, error)
}

// Config tunes the handlers. The zero value is ready for use.
type Config struct {
	// MaxCapacity is the capacity of a queue that a check-in creates. Default:
	// waitingroom.DefaultMaxCapacity.
	MaxCapacity int
	// MaxAttempts bounds how often a command is decided anew after a lost race
	// for its queue. Default: 20; each attempt means that another one got through.
	MaxAttempts int
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Handlers are the use cases over an event store.
type Handlers struct {
	store  EventStore
	config Config
	lanes  [laneCount]chan struct{}
}

// laneCount is the number of lanes that the queues of this process are spread
// over. Commands of one lane take turns: they would only lose races to one
// another. The store still decides races with other processes.
const laneCount = 256

// NewHandlers returns the use cases.
func NewHandlers(store EventStore, config Config) *Handlers {
	if config.MaxAttempts < 1 {
		config.MaxAttempts = 20
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	h := &Handlers{store: store, config: config}
	for i := range h.lanes {
		h.lanes[i] = make(chan struct{}, 1)
	}
	return h
}

// enter waits for the turn of a queue's lane, or until ctx ends.
func (h *Handlers) enter(ctx context.Context, queueID string) (leave func(), err error) {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(queueID))
	lane := h.lanes[hash.Sum32()%laneCount]
	select {
	case lane <- struct{}{}:
		return func() { <-lane }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the queue's turn: %w", ctx.Err())
	}
}

func (h *Handlers) checkIn(msg *message.Message, e Envelope[waitingroom.CheckIn]) (waitingroom.Appended, error) {
	c, err := e.Command.Normalised()
	if err != nil {
		return waitingroom.Appended{}, err
	}
	c.At = h.config.Now()
	return decide(msg, h, e, c.QueueID, c.At, func(q *waitingroom.Queue) ([]waitingroom.Event, error) {
		return q.CheckIn(c, h.config.MaxCapacity)
	})
}

// decide loads a queue, lets it decide, and appends what it decided; after a
// lost race it starts over, a bounded number of times.
func decide[C any](
	msg *message.Message, h *Handlers, e Envelope[C], queueID string, at time.Time,
	decision func(*waitingroom.Queue) ([]waitingroom.Event, error),
) (appended waitingroom.Appended, err error) {
	cause := waitingroom.Cause{
		OccurredAt:     at,
		CorrelationID:  e.CorrelationID,
		CausationID:    msg.UUID,
		Actor:          e.Actor,
		IdempotencyKey: e.IdempotencyKey,
	}
	leave, err := h.enter(msg.Context(), queueID)
	if err != nil {
		return appended, err
	}
	defer leave()
	for range h.config.MaxAttempts {
		queue, err := h.store.Load(msg.Context(), queueID)
		if err != nil {
			return appended, err
		}
		events, err := decision(queue)
		if err != nil {
			return appended, err
		}
		appended, err = h.store.Append(msg.Context(), queueID, queue.Version(), events, cause)
		if !isConflict(err) {
			return appended, err
		}
	}
	return appended, &waitingroom.Error{
		Code:    waitingroom.CodeConflict,
		Message: "the queue is being changed by too many requests at once; send the request again",
	}
}

func isConflict(err error) bool {
	var refusal *waitingroom.Error
	return errors.As(err, &refusal) && refusal.Code == waitingroom.CodeConflict
}
