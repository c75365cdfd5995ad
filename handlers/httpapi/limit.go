package httpapi

import (
	"net"
	"net/http"
	"time"

	"github.com/go-chi/httprate"
)

// limit bounds how often one caller may ask. Callers are told apart by who they are, or
// by their address where nobody is asked.
func (a *api) limit() func(http.Handler) http.Handler {
	if a.config.RequestsPerMinute == 0 {
		return func(next http.Handler) http.Handler { return next }
	}
	return httprate.LimitBy(a.config.RequestsPerMinute, time.Minute, callerOf,
		httprate.WithLimitHandler(func(w http.ResponseWriter, r *http.Request) {
			writeProblem(w, newProblem(r.Context(), http.StatusTooManyRequests, codeTooMany,
				"too many requests in the last minute; wait as long as Retry-After says"))
		}))
}

func callerOf(r *http.Request) (string, error) {
	if identity, known := identityOf(r.Context()); known {
		return "name " + identity.Name, nil
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return "address " + host, err
}
