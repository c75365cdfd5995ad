package httpapi

import (
	"net"
	"net/http"
	"time"

	"github.com/go-chi/httprate"
)

// limit bounds how often one caller may ask. Callers are told apart by who they are, or
// by their address where nobody is asked or none is known.
func (a *api) limit(next http.Handler) http.Handler {
	if a.limiter == nil {
		return next
	}
	return a.limiter.Handler(next)
}

// limitRefused bounds how often an address may show credentials that are not accepted,
// and reports whether it has answered.
func (a *api) limitRefused(w http.ResponseWriter, r *http.Request) bool {
	address, err := callerOf(r)
	return a.limiter != nil && err == nil && a.limiter.RespondOnLimit(w, r, address)
}

// newLimiter returns nil for no limit.
func newLimiter(requestsPerMinute int) *httprate.RateLimiter {
	if requestsPerMinute == 0 {
		return nil
	}
	return httprate.NewRateLimiter(requestsPerMinute, time.Minute, httprate.WithKeyFuncs(callerOf),
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
