package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/inprocess"
	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/handlers/httpapi"
	"github.com/rlapp/rlapp/readmodel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Wrap(m)) }

// fixture is the API over a real command router and a database of the test's own.
type fixture struct {
	t        testing.TB
	pool     *pgxpool.Pool
	views    *readmodel.Store
	url      string
	registry *prometheus.Registry
	logs     *bytes.Buffer
	// routes are those of the API, and document what it says of them.
	routes   chi.Routes
	document document
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	return newFixtureOn(t, postgrestest.Migrated(t))
}

func newFixtureOn(t testing.TB, connString string) *fixture {
	t.Helper()
	return newFixtureTuned(t, connString, httpapi.Config{})
}

func newFixtureWith(t testing.TB, config httpapi.Config) *fixture {
	t.Helper()
	return newFixtureTuned(t, postgrestest.Migrated(t), config)
}

func newFixtureTuned(t testing.TB, connString string, config httpapi.Config) *fixture {
	t.Helper()
	return newFixtureOver(t, connString, config, command.Config{})
}

// newFixtureOver is an API over use cases that are tuned, too.
func newFixtureOver(t testing.TB, connString string, config httpapi.Config, commands command.Config) *fixture {
	t.Helper()
	f := &fixture{t: t, registry: prometheus.NewRegistry(), logs: &bytes.Buffer{}}
	var err error
	if f.pool, err = postgres.Open(t.Context(), connString, postgres.PoolConfig{MaxConnections: 32}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.pool.Close)
	f.views = readmodel.NewStore(f.pool)
	logger := slog.New(slog.NewJSONHandler(f.logs, nil))
	rebuilds := readmodel.NewRebuilder(f.views, slog.New(slog.DiscardHandler))
	t.Cleanup(rebuilds.Close)
	operations := httpapi.NewOperations(f.registry, httpapi.Check{Name: "postgres", Probe: f.views.Ping})
	api, err := httpapi.New(newBus(t, f.pool, commands), f.views, rebuilds, operations, logger, f.registry, config)
	if err != nil {
		t.Fatal(err)
	}
	f.routes = api.(chi.Routes)
	f.document = documentOf(t, api)
	server := httptest.NewServer(api)
	t.Cleanup(func() { http.DefaultClient.CloseIdleConnections(); server.Close() })
	f.url = server.URL
	return f
}

func newBus(t testing.TB, pool *pgxpool.Pool, config command.Config) *command.Bus {
	t.Helper()
	bus, err := inprocess.New(inprocess.Config{})
	if err != nil {
		t.Fatal(err)
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	router.AddMiddleware(command.ReplyFailure)
	command.Register(router, bus, command.NewHandlers(postgres.NewEventStore(pool, postgres.EventStoreConfig{}), config))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := router.Run(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	<-router.Running()
	t.Cleanup(func() {
		if err := router.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return command.NewBus(bus)
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("the answer is no JSON object: %v: %s", err, a.body)
	}
	return v
}

func (f *fixture) do(method, path, contentType, body string, headers ...string) answer {
	f.t.Helper()
	request, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	got := answer{status: response.StatusCode, header: response.Header, body: string(read)}
	f.wantDocumented(method, path, got)
	return got
}

// raw sends bytes as they are, and returns what comes back.
func (f *fixture) raw(request string) string {
	f.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(f.t.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		f.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		f.t.Fatal(err)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 16<<10))
	if err != nil && len(answer) == 0 {
		f.t.Fatal(err)
	}
	return string(answer)
}

// wantDocumented checks that an answer is as the document says, and one to what is not in
// the document a problem as the others.
func (f *fixture) wantDocumented(method, path string, got answer) {
	f.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	routing := chi.NewRouteContext()
	f.routes.Match(routing, method, path)
	var err error
	if o := f.document.Paths[routing.RoutePattern()][strings.ToLower(method)]; o != nil {
		err = f.document.mismatch(o, got)
	} else if got.header.Get("Content-Type") == "application/problem+json" {
		err = f.document.schemas.check(got.body, problem...)
	}
	if err != nil {
		f.t.Errorf("%s %s: %v", method, path, err)
	}
}

func (f *fixture) get(path string) answer { f.t.Helper(); return f.do(http.MethodGet, path, "", "") }

func (f *fixture) post(path, body string) answer {
	f.t.Helper()
	return f.do(http.MethodPost, path, "application/json", body)
}

// project applies all stored events of a queue to every view.
func (f *fixture) project(queueID string) {
	f.t.Helper()
	events, err := f.views.EventsAfter(f.t.Context(), queueID, 0, 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.views.Apply(f.t.Context(), events); err != nil {
		f.t.Fatal(err)
	}
}
