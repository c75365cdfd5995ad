package httpapi

import (
	"context"

	"github.com/rlapp/rlapp/waitingroom"
)

// idempotencyHeader is the header with which a client may send a request again
// without having it done twice.
const idempotencyHeader = "Idempotency-Key"

// usableKey says that an idempotency key is none or printable ASCII without blanks.
func usableKey(key string) bool {
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// done is the answer to a command. One that an earlier request had carried out is
// answered as that one was.
func done(ctx context.Context, appended waitingroom.Appended, message string) *commandResponse {
	response := &commandResponse{Body: commandResult{
		Success: true, Message: message, CorrelationID: correlationID(ctx),
		EventCount: appended.EventCount, QueueVersion: appended.Version, Position: appended.Position,
	}}
	response.Body.about(appended.Last)
	if appended.RepeatOf != "" {
		response.Body.CorrelationID, response.Repeated = appended.RepeatOf, "true"
	}
	return response
}
