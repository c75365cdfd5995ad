package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/handlers/httpapi"
)

// streamed is an event of a stream.
type streamed struct {
	id    string
	board map[string]any
}

// listen follows the board of queue-1 until the test ends.
func (f *fixture) listen(lastEventID string) (status int, events <-chan streamed, leave func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	f.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/api/v1/waiting-room/queue-1/stream", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if lastEventID != "" {
		request.Header.Set("Last-Event-ID", lastEventID)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	out := make(chan streamed, 100)
	go func() {
		defer close(out)
		defer func() { _ = response.Body.Close() }()
		var e streamed
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
			case "id":
				e.id = value
			case "data":
				_ = json.Unmarshal([]byte(value), &e.board)
			case "":
				if e.id != "" {
					out <- e
				}
				e = streamed{}
			}
		}
	}()
	return response.StatusCode, out, cancel
}

// next is the next event, within a deadline.
func next(t testing.TB, events <-chan streamed) streamed {
	t.Helper()
	select {
	case e, ok := <-events:
		if !ok {
			t.Fatal("the stream ended")
		}
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event within 10 s")
	}
	return streamed{}
}

func patients(e streamed) int { return len(e.board["patients"].([]any)) }

func TestTheBoardIsStreamed(t *testing.T) {
	f := newFixture(t)
	f.arrive("p-1", "low")
	f.project("queue-1")
	status, events, leave := f.listen("")
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	first := next(t, events)
	if first.id != "2" || patients(first) != 1 {
		t.Fatalf("the first event is %v", first)
	}
	f.arrive("p-2", "low")
	f.project("queue-1")
	second := next(t, events)
	if second.id != "3" || patients(second) != 2 {
		t.Errorf("the second event is %v", second)
	}
	leave()
	for range events { // it ends
	}

	// Who comes back with the newest hears of the next change, who missed some at once.
	_, upToDate, _ := f.listen("3")
	_, behind, _ := f.listen("2")
	if e := next(t, behind); e.id != "3" {
		t.Errorf("who missed one gets %v", e)
	}
	f.arrive("p-3", "low")
	f.project("queue-1")
	if e := next(t, upToDate); e.id != "4" {
		t.Errorf("who missed none gets %v", e)
	}
}

// A display learns what it shows, and nothing else.
func TestTheBoardNamesNobody(t *testing.T) {
	f := newFixture(t)
	f.finish("seen-before")
	f.arrive("secret-patient", "urgent")
	f.project("queue-1")
	_, events, _ := f.listen("")
	e := next(t, events)
	raw, _ := json.Marshal(e.board)
	for _, text := range []string{f.get("/api/v1/waiting-room/queue-1/board").body, string(raw)} {
		for _, private := range []string{"John", "secret-patient", "Cardiology", "seen-before", "Urgent"} {
			if strings.Contains(text, private) {
				t.Errorf("the board tells %q: %s", private, text)
			}
		}
	}
	shown := e.board["patients"].([]any)[0].(map[string]any)
	if shown["ticketNumber"] != "A-002" || shown["status"] != "waiting-cashier" || shown["place"] != "" || len(shown) != 4 {
		t.Errorf("a patient is shown as %v", shown)
	}
}

func TestListenersAreBounded(t *testing.T) {
	f := newFixtureWith(t, httpapi.Config{MaxListeners: 2})
	f.arrive("p", "low")
	f.project("queue-1")
	_, one, leave := f.listen("")
	next(t, one)
	_, two, _ := f.listen("")
	next(t, two)
	got := f.get("/api/v1/waiting-room/queue-1/stream")
	wantProblem(t, got, http.StatusServiceUnavailable, "")
	leave()
	for range one {
	}
	next(t, f.takePlace(10*time.Second))
}

// takePlace listens as soon as there is a place, within a deadline: the server notices a
// moment later that one was left.
func (f *fixture) takePlace(within time.Duration) <-chan streamed {
	f.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(within); ; {
		if status, events, _ := f.listen(""); status == http.StatusOK {
			return events
		}
		select {
		case <-tick.C:
		case <-deadline:
			f.t.Fatalf("no place within %v", within)
		}
	}
}

// A listener who does not read holds nobody up: the others have each board while it is being written to.
func TestAStuckListenerSlowsNobody(t *testing.T) {
	f := newBigBoard(t, time.Hour)
	f.listenStuck()
	_, quick, _ := f.listen("")
	next(t, quick)
	f.showBoards(quick)
	wantProblem(t, f.get("/api/v1/waiting-room/queue-1/stream"), http.StatusServiceUnavailable, "")
}

// A listener who does not read loses the place in the end.
func TestAStuckListenerIsDropped(t *testing.T) {
	f := newBigBoard(t, 500*time.Millisecond)
	stuck := f.listenStuck()
	_, quick, _ := f.listen("")
	next(t, quick)
	f.showBoards(quick)
	next(t, f.takePlace(10*time.Second))
	if err := stuck.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stuck); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection of who was given up is still open")
	}
}

// newBigBoard has a board of some 25 KB and two places to listen to it.
func newBigBoard(t *testing.T, writeTimeout time.Duration) *fixture {
	t.Helper()
	config := httpapi.Config{MaxListeners: 2, StreamWriteTimeout: writeTimeout}
	f := newFixtureOver(t, postgrestest.Migrated(t), config, command.Config{MaxCapacity: 1000})
	for n := range 300 {
		f.arrive(fmt.Sprintf("p-%d", n), "low")
	}
	f.project("queue-1")
	return f
}

// showBoards shows far more on newBigBoard than the connection of listenStuck holds.
func (f *fixture) showBoards(quick <-chan streamed) {
	f.t.Helper()
	for n := range 10 {
		f.arrive(fmt.Sprintf("q-%d", n), "low")
		f.project("queue-1")
		if e := next(f.t, quick); patients(e) != 301+n {
			f.t.Errorf("event %s shows %d patients, want %d", e.id, patients(e), 301+n)
		}
	}
}

// listenStuck follows the board of queue-1 over a connection that holds little, and reads
// no more than that it may.
func (f *fixture) listenStuck() net.Conn {
	f.t.Helper()
	server := httptest.NewUnstartedServer(f.routes.(http.Handler))
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			_ = c.(*net.TCPConn).SetWriteBuffer(4096) // else the kernel takes megabytes
		}
	}
	server.Start()
	f.t.Cleanup(server.Close)
	conn, err := (&net.Dialer{}).DialContext(f.t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		f.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /api/v1/waiting-room/queue-1/stream HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		f.t.Fatal(err)
	}
	const ok = "HTTP/1.1 200"
	status := make([]byte, len(ok))
	if _, err := io.ReadFull(conn, status); err != nil || string(status) != ok {
		f.t.Fatalf("%s, error %v", status, err)
	}
	return conn
}

// Streams end when the process stops.
func TestStreamsEndWithTheProcess(t *testing.T) {
	stopping := make(chan struct{})
	f := newFixtureWith(t, httpapi.Config{Stopping: stopping})
	f.arrive("p", "low")
	f.project("queue-1")
	_, events, _ := f.listen("")
	next(t, events)
	close(stopping)
	select {
	case _, open := <-events:
		if open {
			t.Error("an event instead of the end")
		}
	case <-time.After(10 * time.Second):
		t.Error("the stream goes on")
	}
}

// revocable lets everybody in until it is revoked, and cannot tell while it is away.
type revocable struct {
	revoked, away atomic.Bool
	asked         atomic.Int64
}

// Authenticate implements httpapi.Authenticator.
func (r *revocable) Authenticate(context.Context, string) (httpapi.Identity, error) {
	r.asked.Add(1)
	if r.away.Load() {
		return httpapi.Identity{}, errors.New("the issuer is away")
	}
	if r.revoked.Load() {
		return httpapi.Identity{}, &httpapi.CredentialError{Reason: "revoked"}
	}
	return httpapi.Identity{Name: "display", Roles: []httpapi.Role{httpapi.Display, httpapi.Reception}}, nil
}

// A listener whose key is revoked, or whose token expires, is not let in any longer. Nobody
// is sent away by an issuer that cannot be asked.
func TestAStreamEndsWithItsCredential(t *testing.T) {
	tokens := &revocable{}
	f := newFixtureWith(t, httpapi.Config{StreamHeartbeat: 10 * time.Millisecond, Authentication: httpapi.Authentication{Tokens: tokens}})
	if got := f.do(http.MethodPost, "/api/waiting-room/check-in", "application/json", johnDoe, "Authorization", "Bearer x"); got.status != http.StatusOK {
		t.Fatal(got)
	}
	f.project("queue-1")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/api/v1/waiting-room/queue-1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer x")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.ReadFull(response.Body, make([]byte, 1000)); err != nil { // many heartbeats
		t.Fatalf("status %d, then %v", response.StatusCode, err)
	}
	tokens.away.Store(true)
	unknown := f.do(http.MethodGet, "/api/v1/waiting-room/queue-1/board", "", "", "Authorization", "Bearer x")
	wantProblem(t, unknown, http.StatusServiceUnavailable, "")
	if unknown.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if _, err := io.ReadFull(response.Body, make([]byte, 500)); err != nil {
		t.Errorf("while nobody can tell: %v", err)
	}
	tokens.away.Store(false)
	tokens.revoked.Store(true)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, response.Body)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the stream goes on")
	}
}
