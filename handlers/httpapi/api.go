package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/handlers/poison"
	"github.com/rlapp/rlapp/readmodel"
)

// Config tunes the API. The zero value is ready for use.
type Config struct {
	// MaxBodyBytes bounds a request's body. Default: 65536.
	MaxBodyBytes int64
	// RequestTimeout bounds the work on one request. Default: 10 s.
	RequestTimeout time.Duration
	// MaxInFlight bounds the requests that are answered at a time; what comes beyond
	// gets 503 at once. Default: 4000.
	MaxInFlight int
	// Annotate puts the correlation id into a request's context for the logs.
	// Default: leaves the context as it is.
	Annotate func(ctx context.Context, correlationID string) context.Context
	// Rehearsals are those of the handlers that can be rehearsed. Default: none can.
	Rehearsals poison.Rehearsals
	// Retain begins to archive and prune; it must not block. Default: nothing happens.
	Retain func()
	// Authentication is how callers show who they are. Default: nobody is asked, and
	// everybody may do everything.
	Authentication Authentication
	// RequestsPerMinute bounds the requests of one caller, and the credentials that are not
	// accepted from one address; what comes beyond gets 429.
	// Default: there is no bound.
	RequestsPerMinute int
	// MaxListeners bounds the streams that are followed at a time. Default: 1000.
	MaxListeners int
	// StreamHeartbeat is how often a stream says that it is alive, so that proxies keep
	// it and a listener who has gone is noticed, and how often it looks whether the
	// listener is still let in. Default: 15 s.
	StreamHeartbeat time.Duration
	// StreamWriteTimeout is how long a listener may take to read one board; one who takes
	// longer loses the stream. Default: 10 s.
	StreamWriteTimeout time.Duration
	// Stopping is closed when the process begins to stop: streams end then. Default:
	// they end when their clients leave.
	Stopping <-chan struct{}
	// Version is shown in the OpenAPI document. Default: "1.0.0".
	Version string
}

func (c *Config) setDefaults() {
	if c.MaxBodyBytes == 0 {
		c.MaxBodyBytes = 64 << 10
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 10 * time.Second
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 4000
	}
	if c.MaxListeners == 0 {
		c.MaxListeners = 1000
	}
	if c.StreamHeartbeat == 0 {
		c.StreamHeartbeat = 15 * time.Second
	}
	if c.StreamWriteTimeout == 0 {
		c.StreamWriteTimeout = 10 * time.Second
	}
	if c.Annotate == nil {
		c.Annotate = func(ctx context.Context, _ string) context.Context { return ctx }
	}
	if c.Retain == nil {
		c.Retain = func() {}
	}
	if c.Version == "" {
		c.Version = "1.0.0"
	}
}

// api holds what the routes work with.
type api struct {
	commands *command.Bus
	views    *readmodel.Store
	rebuilds *readmodel.Rebuilder
	logger   *slog.Logger
	// durations are the requests' by method, route and status.
	durations *prometheus.HistogramVec
	boards    *watch
	limiter   *limiter
	guesses   *guesses
	outage    outage
	config    Config
}

// New returns the handler of the whole API: its routes, the operations of
// NewOperations, the OpenAPI document and its page. It is safe for concurrent use.
func New(
	commands *command.Bus, views *readmodel.Store, rebuilds *readmodel.Rebuilder, operations *Operations,
	logger *slog.Logger, registerer prometheus.Registerer, config Config,
) (http.Handler, error) {
	config.setDefaults()
	if config.MaxBodyBytes < 0 || config.RequestTimeout < 0 || config.MaxInFlight < 0 || config.MaxListeners < 0 ||
		config.StreamHeartbeat < 0 || config.StreamWriteTimeout < 0 {
		return nil, errors.New("httpapi: MaxBodyBytes, RequestTimeout, MaxInFlight, MaxListeners, StreamHeartbeat and StreamWriteTimeout must be positive")
	}
	durations, err := newRequestDurations(registerer)
	if err != nil {
		return nil, fmt.Errorf("httpapi: %w", err)
	}
	if err := (&rebuildProgress{rebuilds}).register(registerer); err != nil {
		return nil, fmt.Errorf("httpapi: %w", err)
	}
	a := &api{commands: commands, views: views, rebuilds: rebuilds, logger: logger, durations: durations, config: config}
	a.limiter, a.boards = newLimiter(config.RequestsPerMinute), newWatch(config.MaxListeners)
	a.guesses = newGuesses(a.limiter)
	a.boards.read = a.readBoard
	a.boards.versions = func(ctx context.Context, queueIDs []string) (map[string]int64, error) {
		return views.QueueVersions(ctx, readmodel.QueueState, queueIDs)
	}

	router := chi.NewRouter()
	router.Use(a.correlate, a.observe, forCallers(a.bound), a.recoverPanic, forCallers(a.authenticate), forCallers(a.limit), a.guard)
	router.NotFound(refuseRoute)
	router.MethodNotAllowed(refuseMethod(router))
	operations.mount(router)

	document := humachi.New(router, a.document())
	document.UseMiddleware(a.authorize, a.refuseWhileAway)
	a.routes(document)
	if err := checkRoles(document.OpenAPI()); err != nil {
		return nil, fmt.Errorf("httpapi: %w", err)
	}
	router.Get("/docs", docsPage(document.OpenAPI()))
	return router, nil
}

func (a *api) document() huma.Config {
	c := huma.DefaultConfig("RLAPP waiting room", a.config.Version)
	c.Info.Description = "Event-driven backend of clinic waiting rooms."
	c.DocsPath = ""        // our own page needs nothing from another host
	c.CreateHooks = nil    // no $schema fields in answers
	c.SchemasPath = ""     // the document has them all
	c.Formats = jsonFormat // JSON only
	c.DefaultFormat = "application/json"
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		bearerScheme: {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "A token of the configured OpenID Connect issuer."},
		apiKeyScheme: {Type: "apiKey", In: "header", Name: apiKeyHeader, Description: "A key that `rlapp key create` has made."},
	}
	return c
}

// The names of the security schemes in the document.
const (
	bearerScheme = "bearer"
	apiKeyScheme = "apiKey"
)

var jsonFormat = map[string]huma.Format{
	"application/json": huma.DefaultJSONFormat,
	"json":             huma.DefaultJSONFormat,
}

// routes lists every operation of the API.
func (a *api) routes(h huma.API) {
	a.receptionRoutes(h)
	a.cashierRoutes(h)
	a.medicalRoutes(h)
	a.monitorRoutes(h)
	a.queueRoutes(h)
	a.journeyRoutes(h)
	a.explainRoutes(h)
	a.boardRoutes(h)
	a.eventRoutes(h)
	a.outboxRoutes(h)
	a.poisonRoutes(h)
	a.operatorRoutes(h)
	a.lagRoutes(h)
	a.projectionRoutes(h)
	a.rebuildRoutes(h)
	a.retentionRoutes(h)
}

// recoverPanic turns a panic of a route into a 500 without its details.
func (a *api) recoverPanic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			reason := recover()
			if reason == nil {
				return
			}
			if reason == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
				panic(reason)
			}
			err := a.fail(r.Context(), fmt.Errorf("panic in a route: %v", reason))
			writeProblem(w, problemOf(r.Context(), err))
		}()
		next.ServeHTTP(w, r)
	})
}

// refuseRoute answers 404.
func refuseRoute(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, newProblem(r.Context(), http.StatusNotFound, codeNotFound, "there is no such route; see /docs"))
}

// refuseMethod answers 405 and says which methods the path takes. chi knows them, and
// tells its own handler only.
func refuseMethod(routes chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var taken []string
		for _, method := range knownMethods {
			if routes.Match(chi.NewRouteContext(), method, cmp.Or(r.URL.RawPath, r.URL.Path)) {
				taken = append(taken, method)
			}
		}
		if len(taken) == 0 { // chi looks at a method that it does not know before the path
			refuseRoute(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(taken, ", "))
		writeProblem(w, newProblem(r.Context(), http.StatusMethodNotAllowed, codeMethod, "the route takes another method; see /docs"))
	}
}

// operation describes a route; errs are the statuses of its problems beside those that
// every route has: the middlewares refuse before a route looks, whatever it is.
func operation(id, method, path, tag, summary, description string, errs ...int) huma.Operation {
	every := []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity,
		http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
	if method == http.MethodPost { // the guard reads its body
		every = append(every, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	return huma.Operation{
		OperationID: id, Method: method, Path: path, Tags: []string{tag}, Summary: summary, Description: description,
		Errors:   slices.Concat(errs, every),
		Security: []map[string][]string{{}, {bearerScheme: {}}, {apiKeyScheme: {}}},
		// The guard has read and bounded the body already. huma's own deadline for
		// reading it would stay on the connection and end the request after 5 s.
		MaxBodyBytes: -1, BodyReadTimeout: -1,
	}
}
