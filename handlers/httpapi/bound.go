package httpapi

import (
	"net/http"
)

// bound refuses what comes beyond MaxInFlight: every request that waits takes memory,
// and a client that is told at once can come back. Streams have a bound of their own.
func (a *api) bound(next http.Handler) http.Handler {
	inFlight := make(chan struct{}, a.config.MaxInFlight)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isStream(r) {
			next.ServeHTTP(w, r)
			return
		}
		select {
		case inFlight <- struct{}{}:
			defer func() { <-inFlight }()
			next.ServeHTTP(w, r)
		default:
			writeProblem(w, newProblem(r.Context(), http.StatusServiceUnavailable, codeUnavailable,
				"too many requests are being answered; send the request again in a moment"))
		}
	})
}
