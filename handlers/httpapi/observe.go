package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
)

// observeRequests returns the middleware that times requests by route, so that
// ids in paths make no label values.
func observeRequests(registerer prometheus.Registerer) (func(http.Handler) http.Handler, error) {
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
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := time.Now()
			recorder := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			next.ServeHTTP(recorder, r)
			route := chi.RouteContext(r.Context()).RoutePattern()
			if route == "" {
				route = "unmatched"
			}
			durations.WithLabelValues(knownMethod(r.Method), route, strconv.Itoa(recorder.Status())).
				Observe(time.Since(start).Seconds())
		})
	}, nil
}

// slowRequest is the duration from which a request is logged as a warning.
const slowRequest = 500 * time.Millisecond

// log writes a line a request, without its query and body: they may name a patient.
func (a *api) log(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		recorder := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(recorder, r)
		took, level := time.Since(start), slog.LevelDebug
		if took > slowRequest {
			level = slog.LevelWarn
		}
		a.logger.Log(r.Context(), level, "request answered", "Component", "API", "method", knownMethod(r.Method),
			"route", chi.RouteContext(r.Context()).RoutePattern(), "status", recorder.Status(),
			"ProcessingDurationMs", float64(took.Microseconds())/1000)
	})
}

// knownMethod keeps invented methods from making label values.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}
