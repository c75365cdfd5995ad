package waitingroom

import "time"

// Cause says where a decision comes from. It is stored with every event of the
// decision.
type Cause struct {
	// OccurredAt is the moment of the step; lag is measured from here.
	OccurredAt time.Time
	// CorrelationID ties together everything that one request caused.
	CorrelationID string
	// CausationID names the message that led to the decision.
	CausationID string
	// Actor is who asked for it, "anonymous" where nobody said.
	Actor string
	// IdempotencyKey is the client's key for the request, if it gave one.
	IdempotencyKey string
}
