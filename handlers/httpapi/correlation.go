package httpapi

import (
	"context"
	"net/http"

	"github.com/google/uuid"
)

// CorrelationHeader is the header in which a client may send the id that ties
// together all that its request causes. The answer always carries it.
const CorrelationHeader = "X-Correlation-Id"

// maxCorrelationIDLength bounds an id that a client chooses; a longer one, or one
// that is not plain ASCII, is replaced.
const maxCorrelationIDLength = 128

type correlationKey struct{}

func correlationID(ctx context.Context) string {
	id, _ := ctx.Value(correlationKey{}).(string)
	return id
}

// correlate takes the client's correlation id, or makes one.
func (a *api) correlate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(CorrelationHeader)
		if !usableCorrelationID(id) {
			id = uuid.NewString()
		}
		w.Header().Set(CorrelationHeader, id)
		ctx := context.WithValue(r.Context(), correlationKey{}, id)
		next.ServeHTTP(w, r.WithContext(a.config.Annotate(ctx, id)))
	})
}

func usableCorrelationID(id string) bool {
	if id == "" || len(id) > maxCorrelationIDLength {
		return false
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
