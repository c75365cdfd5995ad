package schema

import "time"

// Metadata is the wire form of what is known about an event besides its payload.
type Metadata struct {
	EventID     string `json:"eventId"`
	AggregateID string `json:"aggregateId"`
	// Version is the aggregate's after the event, counted from 1.
	Version       int64     `json:"version"`
	OccurredAt    time.Time `json:"occurredAt"`
	CorrelationID string    `json:"correlationId"`
	CausationID   string    `json:"causationId,omitempty"`
	// Actor and IdempotencyKey stay in the store: they are empty in what comes from the
	// broker.
	Actor          string `json:"actor"`
	IdempotencyKey string `json:"idempotencyKey,omitempty"`
	SchemaVersion  int    `json:"schemaVersion"`
}

// Recorded is an event as it is stored: what happened, and what is known about it.
type Recorded struct {
	// Position orders all events of the store; it has gaps. It is 0 where it is
	// not known, as in a message from the broker.
	Position int64
	// Metadata identifies the event within its aggregate.
	Metadata Metadata
	// Event is the fact.
	Event Event
	// PublishedAt is when the relay handed the event to the transport; zero for
	// an event read from the store.
	PublishedAt time.Time
}
