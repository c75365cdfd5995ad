package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
)

// slowRequest is the duration from which a request is logged as a warning.
const slowRequest = 500 * time.Millisecond

// newRequestDurations makes and registers the histogram of observe.
func newRequestDurations(registerer prometheus.Registerer) (*prometheus.HistogramVec, error) {
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "http_request_duration_seconds",
		Help:    "Time to answer a request.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14), // 1 ms to 8 s
	}, []string{"method", "route", "status"})
	if registerer != nil {
		if err := registerer.Register(durations); err != nil {
			return nil, fmt.Errorf("register http_request_duration_seconds: %w", err)
		}
	}
	return durations, nil
}

// observe times and logs requests by route: ids in paths make no label values,
// and queries and bodies, which may name a patient, are not logged.
func (a *api) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		recorder := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(recorder, r)
		took, method, route := time.Since(start), knownMethod(r.Method), chi.RouteContext(r.Context()).RoutePattern()
		if route == "" {
			route = "unmatched"
		}
		if !isStream(r) || recorder.Status() != http.StatusOK { // a stream lasts as long as its listener likes
			a.durations.WithLabelValues(method, route, strconv.Itoa(recorder.Status())).Observe(took.Seconds())
		}
		level := slog.LevelDebug
		if took > slowRequest && !isStream(r) {
			level = slog.LevelWarn
		}
		a.logger.Log(r.Context(), level, "request answered", "Component", "API", "method", method, "route", route,
			"status", recorder.Status(), "ProcessingDurationMs", float64(took.Microseconds())/1000)
	})
}

var knownMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// knownMethod keeps invented methods from making label values.
func knownMethod(method string) string {
	if slices.Contains(knownMethods, method) {
		return method
	}
	return "other"
}
