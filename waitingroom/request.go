package waitingroom

// Request is a client's request that may come again, because its answer was lost.
type Request struct {
	// Key is the client's idempotency key.
	Key string
	// Fingerprint tells the request from another one with the same key.
	Fingerprint [32]byte
}

// Answer is how a request ended, as the event store remembers it.
type Answer struct {
	Request
	// CorrelationID is that of the request which was answered first.
	CorrelationID string
	// Appended is what it stored.
	Appended Appended
	// Refusal is why it was refused, nil where it was not.
	Refusal *Error
}

// Outcome returns the answer to a request with the same key: the first one again,
// with the correlation id of the first, or a refusal with CodeKeyReused where the
// request is another one.
func (a Answer) Outcome(r Request) (Appended, error) {
	switch {
	case a.Fingerprint != r.Fingerprint:
		return Appended{}, refuse(CodeKeyReused,
			"the Idempotency-Key was used for another request; send this one with a key of its own")
	case a.Refusal != nil:
		return Appended{}, &RepeatedError{CorrelationID: a.CorrelationID, Refusal: a.Refusal}
	}
	appended := a.Appended
	appended.RepeatOf = a.CorrelationID
	return appended, nil
}

// InFlight refuses a request whose first try has not ended.
func (r Request) InFlight() *Error {
	return refuse(CodeInFlight, "a request with this Idempotency-Key is still at work; ask again in a moment")
}

// RepeatedError is the refusal of an earlier request, given again.
type RepeatedError struct {
	// CorrelationID is that of the earlier request.
	CorrelationID string
	// Refusal is what it was refused with.
	Refusal *Error
}

func (e *RepeatedError) Error() string { return e.Refusal.Error() }

// Unwrap returns the refusal.
func (e *RepeatedError) Unwrap() error { return e.Refusal }

// KeyTakenError says that the store remembers an answer for the idempotency key of
// one of the changes. Nothing was stored.
type KeyTakenError struct{ Err error }

func (e *KeyTakenError) Error() string { return "an idempotency key has an answer: " + e.Err.Error() }

// Unwrap returns the store's error.
func (e *KeyTakenError) Unwrap() error { return e.Err }
