package waitingroom

import "fmt"

// Change is what one decision wants stored: events behind a version of a queue.
type Change struct {
	// QueueID is the queue.
	QueueID string
	// Expected is the queue's version before the events.
	Expected int64
	// Events are the facts, in order.
	Events []Event
	// Cause is stored with every event.
	Cause Cause
	// Request, if not nil, is remembered with the change and its answer.
	Request *Request
	// Refusal is the answer where the decision was one; there are no events then.
	Refusal *Error
	// Snapshot, if not nil, is the queue's state after the events, to be stored
	// with them.
	Snapshot *Snapshot
}

// Appended tells what storing a change wrote.
type Appended struct {
	// EventCount is the number of events.
	EventCount int
	// Version is the queue's version after them.
	Version int64
	// Position is the global position of the last one.
	Position int64
	// Last is the last event: it tells who was chosen. It is nil where it cannot be
	// read any more.
	Last Event
	// RepeatOf is the correlation id of the request that stored them, where that was
	// an earlier one with the same idempotency key.
	RepeatOf string
}

// RolledBackError says that the event store refused changes that were to be
// stored together, and that nothing of them was written. Storing them one by one
// finds the one at fault.
type RolledBackError struct{ Err error }

func (e *RolledBackError) Error() string { return fmt.Sprintf("nothing was stored: %v", e.Err) }

// Unwrap returns the store's error.
func (e *RolledBackError) Unwrap() error { return e.Err }
