package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one thing that a process needs in order to do its work.
type Check struct {
	// Name is shown in /health.
	Name string
	// Probe returns an error when the thing is missing. It must respect ctx.
	Probe func(ctx context.Context) error
}

// checkTimeout bounds all checks of one health request together.
const checkTimeout = 2 * time.Second

// Operations serves what every process has for its operators: /health,
// /health/live, /health/ready and /metrics.
type Operations struct {
	gatherer prometheus.Gatherer
	checks   []Check
}

// NewOperations returns the operations of one process.
func NewOperations(gatherer prometheus.Gatherer, checks ...Check) *Operations {
	return &Operations{gatherer: gatherer, checks: checks}
}

// Handler serves the operations alone, for a process without an API.
func (o *Operations) Handler() http.Handler {
	router := chi.NewRouter()
	o.mount(router)
	return router
}

func (o *Operations) mount(router chi.Router) {
	router.Get("/health", o.health)
	router.Get("/health/ready", o.health)
	router.Get("/health/live", func(w http.ResponseWriter, _ *http.Request) {
		writeHealth(w, http.StatusOK, health{Status: "Healthy"})
	})
	// A collector that cannot reach the database must not hide the others.
	router.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(o.gatherer, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
}

// isOperations tells what operators and their probes ask for from what callers do.
func isOperations(r *http.Request) bool {
	return r.URL.Path == "/metrics" || r.URL.Path == "/health" || strings.HasPrefix(r.URL.Path, "/health/")
}

// forCallers lets what operators ask for pass a middleware by: a probe is always
// answered, whatever callers do, and needs no name.
func forCallers(middleware func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		callers := middleware(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isOperations(r) {
				next.ServeHTTP(w, r)
				return
			}
			callers.ServeHTTP(w, r)
		})
	}
}

type health struct {
	Status string        `json:"status"`
	Checks []checkResult `json:"checks,omitempty"`
}

type checkResult struct {
	Name       string  `json:"name"`
	Status     string  `json:"status"`
	DurationMs float64 `json:"durationMs"`
	Error      string  `json:"error,omitempty"`
}

func (o *Operations) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	result, status := health{Status: "Healthy"}, http.StatusOK
	for _, c := range o.checks {
		start := time.Now()
		err := c.Probe(ctx)
		checked := checkResult{Name: c.Name, Status: "Healthy", DurationMs: float64(time.Since(start).Microseconds()) / 1000}
		if err != nil {
			checked.Status, checked.Error = "Unhealthy", err.Error()
			result.Status, status = "Unhealthy", http.StatusServiceUnavailable
		}
		result.Checks = append(result.Checks, checked)
	}
	writeHealth(w, status, result)
}

func writeHealth(w http.ResponseWriter, status int, h health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(h)
}
