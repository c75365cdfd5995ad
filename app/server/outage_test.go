package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/app/server"
	"github.com/rlapp/rlapp/app/server/config"
	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/schema"
)

// wantComeBack wants the answer to a command that may be sent again in a while.
func wantComeBack(t *testing.T, status int, header http.Header) {
	t.Helper()
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", status, header.Get("Retry-After"))
	}
}

// checkInAt checks a patient in and returns the answer's status and headers.
func (r *running) checkInAt(client *http.Client, queue, patient string) (int, http.Header, error) {
	body := fmt.Sprintf(`{"queueId":%q,"patientId":%q,"patientName":"John Doe","priority":"high","consultationType":"Cardiology"}`, queue, patient)
	response, err := client.Post(r.url+"/api/waiting-room/check-in", "application/json", strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Header, err
}

// monitorAt reads the monitor of all queues and returns the answer's status and headers.
func (r *running) monitorAt(client *http.Client) (int, http.Header, error) {
	response, err := client.Get(r.url + "/api/waiting-room/monitor")
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Header, err
}

// A command that is at work when PostgreSQL is killed is no error of ours: its client is
// told to come back, and needs not wait for a person.
func TestACommandThatADyingDatabaseInterruptsMayComeBack(t *testing.T) {
	c := load(t)
	r := start(t, server.RoleAll, c)
	pool := newPool(t, c)
	holding, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holding.Rollback(context.WithoutCancel(t.Context())) }() // gives the dead connection back
	if _, err := holding.Exec(t.Context(), "LOCK TABLE waiting_room_outbox"); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		status int
		header http.Header
	}
	answered := make(chan answer, 1)
	go func() {
		status, header, err := r.checkInAt(http.DefaultClient, "queue-1", "p")
		if err != nil {
			t.Error(err)
		}
		answered <- answer{status, header}
	}()
	waitFor(t, func() bool {
		var waiting bool
		err := pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO waiting_room_outbox%')`).Scan(&waiting)
		return err == nil && waiting
	})
	database := postgrestest.Server(t)
	if err := database.Kill(); err != nil {
		t.Fatal(err)
	}
	a := <-answered
	if err := database.Restart(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	wantComeBack(t, a.status, a.header)
	waitFor(t, func() bool { return r.checkIn("later") == http.StatusOK })
}

func newPool(t *testing.T, c config.Config) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), c.EventStore.ConnectionString)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// What the database gives up for the sake of others is tried again; where that does not
// help the client is told to come back, and nobody else notices.
func TestContentionIsNoServerError(t *testing.T) {
	c := load(t)
	r := start(t, server.RoleAll, c)
	pool := newPool(t, c)
	_, err := pool.Exec(t.Context(), `
		CREATE SEQUENCE tries;
		CREATE FUNCTION contended() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF NEW.aggregate_id = 'for-ever' OR NEW.aggregate_id = 'for-a-while' AND nextval('tries') <= 5 THEN
				RAISE 'could not serialize access' USING ERRCODE = '40001';
			END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER contended BEFORE INSERT ON waiting_room_events FOR EACH ROW EXECUTE FUNCTION contended()`)
	if err != nil {
		t.Fatal(err)
	}
	checkIn := func(queue string) (int, http.Header) {
		t.Helper()
		status, header, err := r.checkInAt(http.DefaultClient, queue, "p")
		if err != nil {
			t.Fatal(err)
		}
		return status, header
	}
	if status, _ := checkIn("for-a-while"); status != http.StatusOK {
		t.Errorf("contention that passes: %d", status)
	}
	status, header := checkIn("for-ever")
	wantComeBack(t, status, header)
	if status, _ := checkIn("another"); status != http.StatusOK {
		t.Errorf("another queue: %d", status)
	}
	if _, err := pool.Exec(t.Context(), "DROP TRIGGER contended ON waiting_room_events"); err != nil {
		t.Fatal(err)
	}
	if status, _ := checkIn("for-ever"); status != http.StatusOK {
		t.Errorf("without contention: %d", status)
	}
}

// link is the way of a process to PostgreSQL, which can be held up: it takes
// connections and bytes then, and passes nothing on, as a server that is frozen.
type link struct {
	gate     sync.RWMutex
	open     sync.WaitGroup
	mu       sync.Mutex
	closers  []io.Closer
	closed   bool
	upstream string
}

// newLink puts a link into the configuration.
func newLink(t *testing.T, c *config.Config) *link {
	t.Helper()
	address, err := url.Parse(c.EventStore.ConnectionString)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{upstream: address.Host}
	l.keep(listener)
	address.Host = listener.Addr().String()
	c.EventStore.ConnectionString = address.String()
	l.open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			l.open.Go(func() { l.join(client) })
		}
	})
	t.Cleanup(func() {
		l.mu.Lock()
		l.closed = true
		for _, one := range l.closers {
			_ = one.Close()
		}
		l.mu.Unlock()
		l.open.Wait()
	})
	return l
}

// keep has the end of the test close something.
func (l *link) keep(one io.Closer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = one.Close()
	}
	l.closers = append(l.closers, one)
}

// join passes on what the two ends of a connection say.
func (l *link) join(client net.Conn) {
	l.keep(client)
	l.gate.RLock()
	server, err := net.Dial("tcp", l.upstream)
	l.gate.RUnlock()
	if err != nil {
		_ = client.Close()
		return
	}
	l.keep(server)
	l.open.Go(func() { l.pass(client, server) })
	l.pass(server, client)
}

func (l *link) pass(from, to net.Conn) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.gate.RLock()
		_, writeErr := to.Write(buffer[:n])
		l.gate.RUnlock()
		if err != nil || writeErr != nil {
			return
		}
	}
}

// hold holds the link up until release is called.
func (l *link) hold() (release func()) {
	l.gate.Lock()
	return sync.OnceFunc(l.gate.Unlock)
}

// While PostgreSQL is frozen 20,000 requests, check-ins and some reads among them, are
// refused at once, but for those that try whether it is back, and memory does not grow with them. Then everything goes on.
func TestRefusingCostsNeitherTimeNorMemory(t *testing.T) {
	const requests, clients = 20_000, 20
	c := load(t)
	way := newLink(t, &c)
	r := startAt(t, slog.LevelError+1, server.RoleAll, c) // the log of the test would grow
	if status := r.checkIn("before"); status != http.StatusOK {
		t.Fatalf("check-in: %d", status)
	}
	release := way.hold()
	defer release()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	ask := func(i int64) (int, http.Header, error) {
		if i%10 == 0 {
			return r.monitorAt(client)
		}
		return r.checkInAt(client, fmt.Sprintf("queue-%d", i%50), fmt.Sprintf("p-%d", i))
	}
	var first sync.WaitGroup
	for i := range int64(2) { // after a while: nobody knew
		first.Go(func() {
			status, header, err := ask(i)
			if wantComeBack(t, status, header); err != nil {
				t.Error(err)
			}
		})
	}
	first.Wait()
	refuse := func(n int) (waited int64) {
		var next, slow atomic.Int64
		var group sync.WaitGroup
		for range clients {
			group.Go(func() {
				for i := next.Add(1); i <= int64(n) && !t.Failed(); i = next.Add(1) {
					begin := time.Now()
					status, header, err := ask(i)
					if err != nil {
						t.Error(err)
						return
					}
					wantComeBack(t, status, header)
					if time.Since(begin) > time.Second {
						slow.Add(1)
					}
				}
			})
		}
		group.Wait()
		return slow.Load()
	}
	refuse(1000) // what is made once
	heap, goroutines := inUse()
	if waited := refuse(requests); waited > requests/100 {
		t.Errorf("%d of %d refusals took more than a second", waited, requests)
	}
	heapAfter, goroutinesAfter := inUse()
	if grown := int64(heapAfter) - int64(heap); grown > 8<<20 {
		t.Errorf("%d refusals left %d bytes", requests, grown)
	}
	if goroutinesAfter > goroutines+2*clients {
		t.Errorf("%d goroutines were %d before", goroutinesAfter, goroutines)
	}
	release()
	waitFor(t, func() bool { return r.checkIn("after") == http.StatusOK })
	waitFor(t, func() bool {
		status, _, err := r.monitorAt(client)
		return status == http.StatusOK && err == nil
	})
}

// inUse is what is reachable on the heap, and the number of goroutines.
func inUse() (heap uint64, goroutines int) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}

// A statement that always takes too long is the handler's own failure.
func TestAStatementThatTakesTooLongIsPoison(t *testing.T) {
	r := start(t, server.RoleAll, load(t), plugin.Plugin{Name: "test-team", Handlers: []plugin.Handler{
		plugin.OnTx("bills", func(ctx context.Context, tx pgx.Tx, _ schema.PatientCheckedIn, _ schema.Metadata) error {
			_, err := tx.Exec(ctx, "SET LOCAL statement_timeout = '5ms'; SELECT pg_sleep(10)")
			return err
		}),
	}})
	r.checkIn("bills")
	r.eventually("/api/poison", `"attempts":6`)
}

// A handler that works in a transaction gets its event again when the database ended
// its connection or gave the transaction up, however often; what fails in it beside the
// database is set aside.
func TestATransactionThatTheDatabaseBrokeOffIsNoPoison(t *testing.T) {
	for name, fault := range map[string]string{
		"connection": "SELECT pg_terminate_backend(pg_backend_pid())",
		"deadlock":   "DO $$ BEGIN RAISE 'deadlock detected' USING ERRCODE = '40P01'; END $$",
	} {
		t.Run(name, func(t *testing.T) {
			var tries atomic.Int64
			done := make(chan string, 10)
			r := start(t, server.RoleAll, load(t), plugin.Plugin{Name: "test-team", Handlers: []plugin.Handler{
				plugin.OnTx("bills", func(ctx context.Context, tx pgx.Tx, e schema.PatientCheckedIn, _ schema.Metadata) error {
					if e.PatientID == "mails" {
						return &net.OpError{Op: "dial", Err: net.ErrClosed} // the mail server's
					}
					if tries.Add(1) <= 13 { // more than twice the tries of an event
						_, err := tx.Exec(ctx, fault)
						return err
					}
					done <- e.PatientID
					return nil
				}),
			}})
			r.checkIn("bills")
			select {
			case <-done:
			case <-time.After(patience):
				t.Fatalf("tried %d times within %v", tries.Load(), patience)
			}
			r.checkIn("mails")
			r.eventually("/api/poison", `"attempts":6`)
			if _, poisoned := r.get("/api/poison"); strings.Count(poisoned, `"id":`) != 1 {
				t.Errorf("poisoned: %s", poisoned)
			}
			if _, metrics := r.get("/metrics"); !strings.Contains(metrics,
				`event_processing_failures_total{event_name="PatientCheckedIn",handler="plugin.test-team.bills"} 1`) {
				t.Error("not one failure is counted")
			}
		})
	}
}
