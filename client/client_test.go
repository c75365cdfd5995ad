package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flaky answers each request as the next of its answers says, and remembers the keys.
type flaky struct {
	mu      sync.Mutex
	answers []func(http.ResponseWriter)
	keys    []string
	bodies  []string
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	f.keys, f.bodies = append(f.keys, r.Header.Get("Idempotency-Key")), append(f.bodies, fmt.Sprint(body["patientId"]))
	answer := f.answers[0]
	f.answers = f.answers[1:]
	answer(w)
}

// sent is what came so far, with the keys of the attempts and the patients.
func (f *flaky) sent() (keys, bodies []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.keys), slices.Clone(f.bodies)
}

func (f *flaky) attempts() int {
	keys, _ := f.sent()
	return len(keys)
}

func status(code int, retryAfter string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(`{"success":true,"message":"m","correlationId":"c","eventCount":1,"queueVersion":1,"position":1}`))
	}
}

// refuse answers with a problem of two fields.
func refuse(w http.ResponseWriter, code int) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"title":"No","status":%d,"detail":"it is so","code":"some_code","correlationId":"c-1","errors":[
		{"field":"age","location":"body.age","message":"is too high"},{"field":"priority","location":"body.priority","message":"is unknown"}]}`, code)
}

// lost breaks the connection before the answer.
func lost(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func serve(t *testing.T, answers ...func(http.ResponseWriter)) (*flaky, *client.ClientWithResponses) {
	t.Helper()
	f := &flaky{answers: answers}
	server := httptest.NewServer(f)
	own := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() { own.CloseIdleConnections(); server.Close() })
	c, err := client.New(server.URL, client.Config{HTTPClient: own, Pause: time.Millisecond, APIKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	return f, c
}

var johnDoe = client.CheckInJSONRequestBody{
	QueueId: "queue-1", PatientId: "patient-1", PatientName: "John Doe", Priority: "HIGH", ConsultationType: "Cardiology",
}

// A command is sent again with the key that it had, until it is answered for good.
func TestACommandIsSentAgainWithItsKey(t *testing.T) {
	f, c := serve(t, lost, status(503, "0"), status(409, "0"), status(200, ""))
	answer, err := c.CheckInWithResponse(t.Context(), nil, johnDoe)
	if err != nil || answer.StatusCode() != http.StatusOK {
		t.Fatalf("answered %v, error %v", answer, err)
	}
	keys, bodies := f.sent()
	if len(keys) != 4 || keys[0] == "" {
		t.Fatalf("sent %d times, keys %v", len(keys), keys)
	}
	for i := range keys {
		if keys[i] != keys[0] || bodies[i] != "patient-1" {
			t.Errorf("attempt %d had key %q and body %q", i+1, keys[i], bodies[i])
		}
	}
}

func TestAnAnswerForGoodIsNotAskedForAgain(t *testing.T) {
	for _, code := range []int{200, 400, 404, 409, 422, 500} {
		f, c := serve(t, status(code, ""), status(200, ""))
		answer, err := c.CheckInWithResponse(t.Context(), nil, johnDoe)
		if err != nil || answer.StatusCode() != code || f.attempts() != 1 {
			t.Errorf("%d: answered %v after %d attempts, error %v", code, answer.StatusCode(), f.attempts(), err)
		}
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	f, c := serve(t, lost, lost, lost, lost, lost, lost)
	if _, err := c.CheckInWithResponse(t.Context(), nil, johnDoe); err == nil || f.attempts() != 5 {
		t.Errorf("%d attempts, error %v", f.attempts(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f, c = serve(t, func(w http.ResponseWriter) { cancel(); status(503, "9")(w) })
	// The caller may leave before the answer has come, or after.
	answer, err := c.CheckInWithResponse(ctx, nil, johnDoe)
	left := errors.Is(err, context.Canceled) || err == nil && answer.StatusCode() == http.StatusServiceUnavailable
	if !left || f.attempts() != 1 {
		t.Errorf("after the caller left: %d attempts, error %v", f.attempts(), err)
	}
}

// A refusal is an error that has the problem's code, its correlation id and its fields.
func TestARefusalIsAProblem(t *testing.T) {
	_, c := serve(t, func(w http.ResponseWriter) { refuse(w, http.StatusUnprocessableEntity) })
	answer, err := client.Accepted(c.CheckInWithResponse(t.Context(), nil, johnDoe))
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != http.StatusUnprocessableEntity || p.Code != "some_code" || p.CorrelationId != "c-1" || len(*p.Errors) != 2 {
		t.Fatalf("the error is %v", err)
	}
	if want := "422 No: it is so; age is too high; priority is unknown (some_code, correlation id c-1)"; p.Error() != want {
		t.Errorf("it says %q, want %q", p, want)
	}
	if answer.ApplicationproblemJSON422 == nil || answer.ApplicationproblemJSON422.Code != p.Code {
		t.Errorf("the answer has %v", answer.ApplicationproblemJSON422)
	}
}

// What a proxy or a portal says is no success of ours, whatever its status.
func TestAForeignAnswerIsAProblem(t *testing.T) {
	for _, code := range []int{200, 301, 404, 500} {
		_, c := serve(t, func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(code)
			fmt.Fprint(w, "<p>Welcome")
		})
		_, err := client.Accepted(c.CheckInWithResponse(t.Context(), nil, johnDoe))
		var p *client.Problem
		if !errors.As(err, &p) || p.Status != int64(code) || p.Code != "" {
			t.Errorf("%d: the error is %v", code, err)
		}
	}
	_, c := serve(t, status(200, ""))
	if answer, err := client.Accepted(c.CheckInWithResponse(t.Context(), nil, johnDoe)); err != nil || answer.JSON200.Position != 1 {
		t.Errorf("a success is %v, error %v", answer, err)
	}
	_, c = serve(t, lost, lost, lost, lost, lost)
	if _, err := client.Accepted(c.CheckInWithResponse(t.Context(), nil, johnDoe)); err == nil {
		t.Error("no answer is no error")
	}
}

// However long an outage lasts, the pauses between two attempts stay bounded.
func TestPausesStayBounded(t *testing.T) {
	const outage = 100 // attempts: more doublings than a time.Duration has bits
	config := client.Config{Attempts: outage + 1, Pause: time.Nanosecond, MaxPause: 10 * time.Millisecond}
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) <= outage {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		refuse(w, http.StatusForbidden)
	}))
	config.HTTPClient = &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() { config.HTTPClient.CloseIdleConnections(); server.Close() })
	c, err := client.New(server.URL, config)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := c.CheckInWithResponse(t.Context(), nil, johnDoe); err != nil || answer.StatusCode() != http.StatusForbidden {
		t.Errorf("answered %v, error %v", answer, err)
	}
	asked.Store(0)
	var refused *client.Problem
	if err := client.Follow(t.Context(), server.URL, "q", config, nil); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("following ended with %v", err)
	}
	config.Pause = -1
	if err := client.Follow(t.Context(), server.URL, "q", config, nil); err == nil || errors.As(err, &refused) {
		t.Errorf("a negative pause: %v", err)
	}
}

// A queue that does not exist yet is waited for; a stream that breaks goes on where it was;
// one that is refused ends.
func TestFollow(t *testing.T) {
	var (
		mu   sync.Mutex
		last []string
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		last = append(last, r.Header.Get("Last-Event-ID"))
		if refusal := map[int]int{1: http.StatusNotFound, 4: http.StatusForbidden}[len(last)]; refusal != 0 {
			refuse(w, refusal)
			return
		}
		fmt.Fprintf(w, ": open\n\nevent: board\nid: %d\ndata: {\"queueId\":\"queue-1\",\"version\":%d,\"patients\":[],\"consultingRooms\":[],\"projectedAt\":\"2026-02-19T10:00:00Z\"}\n\n", len(last), len(last))
	}))
	own := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() { own.CloseIdleConnections(); server.Close() })
	var shown []int64
	err := client.Follow(t.Context(), server.URL, "queue-1", client.Config{HTTPClient: own, Pause: time.Millisecond}, func(b client.Board) {
		shown = append(shown, b.Version)
	})
	var refused *client.Problem
	if !errors.As(err, &refused) || refused.Status != http.StatusForbidden || refused.Code != "some_code" {
		t.Errorf("ended with %v", err)
	}
	if fmt.Sprint(shown) != "[2 3]" || fmt.Sprint(last) != "[  2 3]" {
		t.Errorf("shown %v, last ids %v", shown, last)
	}
}
