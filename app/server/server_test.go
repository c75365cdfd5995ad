package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/adapters/rabbitmq/rabbitmqtest"
	"github.com/rlapp/rlapp/app/server"
	"github.com/rlapp/rlapp/app/server/config"
	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/schema"
)

// runner lets one TestMain helper run another.
type runner func() int

func (r runner) Run() int { return r() }

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(postgrestest.Wrap(runner(func() int { return rabbitmqtest.Run(m) })))
}

const patience = 60 * time.Second

// logs is written by a process and read by the test.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }

func (l *logs) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// load returns a configuration of the test's own database, free ports and env.
func load(t testing.TB, env ...string) config.Config {
	t.Helper()
	c, err := config.Load(append([]string{
		"EventStore__ConnectionString=" + postgrestest.New(t),
		"Api__Address=127.0.0.1:0", "Worker__Address=127.0.0.1:0", "Projections__Address=127.0.0.1:0",
	}, env...), "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func broker(t testing.TB) []string {
	t.Helper()
	u := rabbitmqtest.VirtualHost(t)
	password, _ := u.User.Password()
	return []string{
		"RabbitMq__HostName=" + u.Hostname(), "RabbitMq__Port=" + u.Port(),
		"RabbitMq__UserName=" + u.User.Username(), "RabbitMq__Password=" + password, "RabbitMq__VirtualHost=" + strings.TrimPrefix(u.Path, "/"),
	}
}

// running is a process inside the test.
type running struct {
	t    testing.TB
	url  string
	logs *logs
	stop func()
}

// start runs a process; its end, at the latest with the test's, must be clean.
func start(t testing.TB, role server.Role, c config.Config, plugins ...plugin.Plugin) *running {
	t.Helper()
	return startAt(t, slog.LevelDebug, role, c, plugins...)
}

// startAt is start with a level of the log.
func startAt(t testing.TB, level slog.Level, role server.Role, c config.Config, plugins ...plugin.Plugin) *running {
	t.Helper()
	r := &running{t: t, logs: &logs{}}
	logger := slog.New(slog.NewJSONHandler(r.logs, &slog.HandlerOptions{Level: level}))
	s := server.New(role, c, logger, io.Discard, plugins...)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s ended with: %v", role, err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	t.Cleanup(r.stop)
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatalf("%s did not start: %v", role, err)
	case <-time.After(patience):
		t.Fatalf("%s was not ready within %v:\n%s", role, patience, r.logs)
	}
	r.url = "http://" + s.Address()
	return r
}

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	response, err := http.Get(r.url + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func (r *running) checkIn(patient string) int {
	r.t.Helper()
	body := fmt.Sprintf(`{"queueId":"queue-1","patientId":%q,"patientName":"John Doe","priority":"high","consultationType":"Cardiology"}`, patient)
	response, err := http.Post(r.url+"/api/waiting-room/check-in", "application/json", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func (r *running) eventually(path, want string) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		_, body := r.get(path)
		if strings.Contains(body, want) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("%s does not show %s within %v: %s", path, want, patience, body)
		}
	}
}

// Each role starts, works and stops without leaving a goroutine: goleak checks
// that when all tests are done.
func TestEverythingInOneProcess(t *testing.T) {
	for name, env := range map[string][]string{"in process": nil, "over RabbitMQ": broker(t)} {
		t.Run(name, func(t *testing.T) {
			r := start(t, server.RoleAll, load(t, env...))
			if status := r.checkIn("p"); status != http.StatusOK {
				t.Fatalf("check-in: %d", status)
			}
			r.eventually("/api/waiting-room/monitor", `"totalPatientsWaiting":1`)
			r.eventually("/api/outbox/pending", `"count":0`)
			if strings.Contains(r.logs.String(), "John") {
				t.Error("the log names the patient")
			}
		})
	}
}

// The clinic's day is that of the configured time zone.
func TestTicketsAreOfTheConfiguredTimeZone(t *testing.T) {
	// One of the two has another day than UTC now, and keeps it for hours.
	zone := "Etc/GMT+12"
	if time.Now().UTC().Hour() >= 11 {
		zone = "Etc/GMT-14"
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, server.RoleAll, load(t, "WaitingRoom__TimeZone="+zone))
	if status := r.checkIn("p"); status != http.StatusOK {
		t.Fatalf("check-in: %d", status)
	}
	want := fmt.Sprintf(`"ticketDay":%q`, time.Now().In(location).Format(time.DateOnly))
	if _, events := r.get("/api/events/queue-1"); !strings.Contains(events, want) {
		t.Errorf("the ticket is not of %s: %s", want, events)
	}
}

// A plugin's handler gets its events over either transport.
func TestAPluginGetsItsEvents(t *testing.T) {
	for name, env := range map[string][]string{"in process": nil, "over RabbitMQ": broker(t)} {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 10)
			r := start(t, server.RoleAll, load(t, env...), plugin.Plugin{Name: "test-team", Handlers: []plugin.Handler{
				plugin.On("checked-in", func(_ context.Context, e schema.PatientCheckedIn, _ schema.Metadata) error {
					got <- e.PatientID
					return nil
				}),
			}})
			r.checkIn("p")
			select {
			case patient := <-got:
				if patient != "p" {
					t.Errorf("got %q", patient)
				}
			case <-time.After(patience):
				t.Errorf("no event within %v", patience)
			}
		})
	}
}

// What a plugin is done with is marked when its process has stopped. Within one process, where
// nothing is marked, nothing is left that would have a later broker's plugin miss everything.
func TestWhatAPluginIsDoneWithIsMarkedWithABroker(t *testing.T) {
	done := make(chan struct{}, 1)
	team := plugin.Plugin{Name: "test-team", Handlers: []plugin.Handler{
		plugin.On("checked-in", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error { done <- struct{}{}; return nil }),
	}}
	c := load(t, broker(t)...)
	r := start(t, server.RoleAll, c, team)
	pool := newPool(t, c)
	count := func(what string) (n int) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM "+what).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	r.checkIn("p")
	take(t, done)
	r.stop()
	if n := count("plugin_marks JOIN waiting_room_events ON position = ANY(positions) WHERE event_name = 'PatientCheckedIn'"); n != 1 {
		t.Errorf("%d events are marked", n)
	}
	if _, err := pool.Exec(t.Context(), "DELETE FROM plugin_checkpoints"); err != nil {
		t.Fatal(err)
	}
	start(t, server.RoleWorker, c, team).stop() // makes the queue, so that what it holds is looked for
	if n := count("plugin_checkpoints WHERE handler = 'plugin.test-team.checked-in'"); n != 1 {
		t.Errorf("behind a worker there are %d checkpoints", n)
	}
	c.RabbitMq.HostName = ""
	start(t, server.RoleAll, c, team).stop()
	if n := count("plugin_checkpoints FULL JOIN plugin_marks USING (handler)"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func TestMistakesInPluginsStopTheStart(t *testing.T) {
	err := server.New(server.RoleAll, load(t), slog.New(slog.DiscardHandler), io.Discard, plugin.Plugin{Name: "empty"}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), `"empty" has no handlers`) {
		t.Errorf("got %v", err)
	}
}

// While RabbitMQ is away check-ins go on; when it is back the outbox drains by
// itself, and no event has lost an attempt.
func TestABrokerOutageDelaysAndLosesNothing(t *testing.T) {
	c := load(t, broker(t)...)
	r := start(t, server.RoleAll, c)
	r.checkIn("before")
	r.eventually("/api/waiting-room/monitor", `"totalPatientsWaiting":1`)
	node := rabbitmqtest.Shared(t)
	if err := node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		if status := r.checkIn(fmt.Sprintf("during-%d", n)); status != http.StatusOK {
			t.Errorf("check-in during the outage: %d", status)
		}
	}
	r.eventually("/health", `"name":"rabbitmq","status":"Unhealthy"`)
	r.eventually("/api/outbox/pending", `"count":5`)
	if err := node.Restart(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	r.eventually("/api/waiting-room/monitor", `"totalPatientsWaiting":6`)
	r.eventually("/api/outbox/pending", `"count":0`)
	if _, metrics := r.get("/metrics"); strings.Contains(metrics, `event_processing_failures_total{`) {
		t.Error("the outage was counted as failures of events")
	}
}

// A check-in that is being written when the process is told to stop is answered,
// although new connections are refused by then.
func TestStoppingAnswersWhatIsInFlight(t *testing.T) {
	c := load(t)
	r := start(t, server.RoleAll, c)
	pool, err := pgxpool.New(t.Context(), c.EventStore.ConnectionString)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	holding, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holding.Exec(t.Context(), "LOCK TABLE waiting_room_outbox"); err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 1)
	go func() { answered <- r.checkIn("p") }()
	waitFor(t, func() bool {
		var waiting bool
		err := pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO waiting_room_outbox%')`).Scan(&waiting)
		return err == nil && waiting
	})
	stopped := make(chan struct{})
	go func() { defer close(stopped); r.stop() }()
	waitFor(t, func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	if err := holding.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case status := <-answered:
		if status != http.StatusOK {
			t.Errorf("the check-in in flight was answered with %d", status)
		}
	case <-time.After(patience):
		t.Errorf("no answer within %v", patience)
	}
	<-stopped
}

func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v", patience)
		}
	}
}

func TestATakenPortIsAClearError(t *testing.T) {
	first := start(t, server.RoleAll, load(t))
	c := load(t)
	c.Api.Address = strings.TrimPrefix(first.url, "http://")
	err := server.New(server.RoleAll, c, slog.New(slog.DiscardHandler), io.Discard).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), c.Api.Address) {
		t.Errorf("got %v, want an error that names %s", err, c.Api.Address)
	}
}

// No process acknowledges what the database would lose.
func TestADatabaseThatLosesCommitsIsRefused(t *testing.T) {
	c := load(t)
	pool, err := pgxpool.New(t.Context(), c.EventStore.ConnectionString)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), "ALTER DATABASE "+pgx.Identifier{pool.Config().ConnConfig.Database}.Sanitize()+" SET synchronous_commit = off"); err != nil {
		t.Fatal(err)
	}
	for _, role := range []server.Role{server.RoleAll, server.RoleAPI, server.RoleWorker, server.RoleProjections} {
		err := server.New(role, c.ForServices(), slog.New(slog.DiscardHandler), io.Discard).Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "synchronous_commit = off") {
			t.Errorf("%s: got %v", role, err)
		}
	}
}

func TestADatabaseThatIsAwayIsAClearError(t *testing.T) {
	c := load(t)
	c.EventStore.ConnectionString = "postgres://nobody:secret@127.0.0.1:1/none"
	err := server.New(server.RoleAPI, c, slog.New(slog.DiscardHandler), io.Discard).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error that names the server and keeps the password", err)
	}
}
