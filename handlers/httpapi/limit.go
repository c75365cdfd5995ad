package httpapi

import (
	"math"
	"net"
	"net/http"
	"time"

	"github.com/go-chi/httprate"
)

// limit bounds how often one caller may ask.
func (a *api) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.limiter.refuses(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// limiter counts the requests of each caller.
type limiter struct {
	rate      *httprate.RateLimiter // nil for no bound
	perMinute int
}

func newLimiter(requestsPerMinute int) *limiter {
	if requestsPerMinute == 0 {
		return &limiter{}
	}
	return &limiter{perMinute: requestsPerMinute, rate: httprate.NewRateLimiter(requestsPerMinute, time.Minute,
		httprate.WithLimitHandler(func(w http.ResponseWriter, r *http.Request) {
			writeProblem(w, newProblem(r.Context(), http.StatusTooManyRequests, codeTooMany,
				"too many requests in the last minute; wait as long as Retry-After says"))
		}))}
}

// refuses counts a request. It answers one that is too many, and reports whether it has.
func (l *limiter) refuses(w http.ResponseWriter, r *http.Request) bool {
	return l.rate != nil && l.rate.RespondOnLimit(w, r, callerOf(r))
}

// spent reports whether the next request would be too many.
func (l *limiter) spent(r *http.Request) bool {
	if l.rate == nil {
		return false
	}
	_, rate, err := l.rate.Status(callerOf(r))
	return err == nil && int(math.Round(rate)) >= l.perMinute // as httprate rounds
}

// callerOf tells callers apart by who they are, or by their address where nobody is asked
// or none is known. Whoever has one address of IPv6 has all that share its first half.
func callerOf(r *http.Request) string {
	if identity, known := identityOf(r.Context()); known {
		return "name " + identity.Name
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return "address " + httprate.CanonicalizeIP(host)
}
