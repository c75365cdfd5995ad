package httpapi_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const checkInPath = "/api/waiting-room/check-in"

// keyed posts a check-in with an idempotency key.
func (f *fixture) keyed(key, correlationID, body string) answer {
	f.t.Helper()
	return f.do(http.MethodPost, checkInPath, "application/json", body, "Idempotency-Key", key, "X-Correlation-Id", correlationID)
}

func (f *fixture) count(query string) (n int) {
	f.t.Helper()
	if err := f.pool.QueryRow(f.t.Context(), query).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

func TestTheSameKeyGivesTheSameAnswer(t *testing.T) {
	f := newFixture(t)
	first := f.keyed("k-1", "c-1", johnDoe)
	if first.status != http.StatusOK || first.header.Get("Idempotency-Replayed") != "" {
		t.Fatal(first)
	}
	same := func(who string, got answer) {
		t.Helper()
		if got.status != first.status || got.body != first.body || got.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s answers %v, want %v", who, got, first)
		}
		if got.header.Get("X-Correlation-Id") != "c-2" {
			t.Errorf("%s: the request's own correlation id is %q", who, got.header.Get("X-Correlation-Id"))
		}
	}
	same("this process", f.keyed("k-1", "c-2", johnDoe))
	// In another process, by the other path, in another form.
	other := newFixtureOn(t, f.pool.Config().ConnString())
	respaced := strings.ReplaceAll(johnDoe, ",", ",\n  ")
	same("another process", other.do(http.MethodPost, "/api/reception/register", "application/json", respaced,
		"Idempotency-Key", "k-1", "X-Correlation-Id", "c-2"))
	if n := f.count("SELECT count(*) FROM waiting_room_events"); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestAKeyWithAnotherBodyIsRefused(t *testing.T) {
	f := newFixture(t)
	f.keyed("k-1", "c-1", johnDoe)
	got := f.keyed("k-1", "c-2", strings.Replace(johnDoe, "patient-1", "patient-2", 1))
	if got.status != http.StatusUnprocessableEntity || got.json(t)["code"] != "idempotency_key_reused" {
		t.Error(got)
	}
}

func TestARefusalIsGivenAgain(t *testing.T) {
	f := newFixture(t)
	f.post(checkInPath, johnDoe)
	first := f.keyed("k-1", "c-1", johnDoe)
	if first.status != http.StatusConflict || first.json(t)["code"] != "already_checked_in" {
		t.Fatal(first)
	}
	// In a process that has just started, whose state is read from the store.
	again := newFixtureOn(t, f.pool.Config().ConnString()).keyed("k-1", "c-2", johnDoe)
	if diff := cmp.Diff(first.json(t), again.json(t)); diff != "" || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%v; the answers differ (-first +again):\n%s", again.header, diff)
	}
}

// What was rolled back is no answer, and a key is forgotten after a day.
func TestOnlyWhatWasStoredIsRemembered(t *testing.T) {
	f := newFixture(t)
	if _, err := f.pool.Exec(t.Context(), "ALTER TABLE waiting_room_outbox ADD CONSTRAINT broken CHECK (event_name <> 'PatientCheckedIn')"); err != nil {
		t.Fatal(err)
	}
	if got := f.keyed("k-1", "c-1", johnDoe); got.status != http.StatusInternalServerError {
		t.Fatal(got)
	}
	if n := f.count("SELECT count(*) FROM idempotency_keys"); n != 0 {
		t.Fatalf("%d keys are remembered", n)
	}
	if _, err := f.pool.Exec(t.Context(), "ALTER TABLE waiting_room_outbox DROP CONSTRAINT broken"); err != nil {
		t.Fatal(err)
	}
	if got := f.keyed("k-1", "c-1", johnDoe); got.status != http.StatusOK {
		t.Fatal(got)
	}
	if _, err := f.pool.Exec(t.Context(), "UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second'"); err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(johnDoe, "patient-1", "patient-2", 1)
	if got := f.keyed("k-1", "c-2", other); got.status != http.StatusOK || got.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("a day later: %v", got)
	}
}

// Two processes that get the same request at the same time do it once.
func TestTwoProcessesDoARequestOnce(t *testing.T) {
	f := newFixture(t)
	both := []*fixture{f, newFixtureOn(t, f.pool.Config().ConnString())}
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		body := strings.Replace(johnDoe, "patient-1", "patient-"+key, 1)
		var answers [8]answer
		var group sync.WaitGroup
		for i := range answers {
			group.Go(func() { answers[i] = both[i%2].keyed(key, "c-1", body) })
		}
		group.Wait()
		for _, got := range answers {
			inFlight := got.status == http.StatusConflict && got.json(t)["code"] == "request_in_flight"
			if got.status != http.StatusOK && !inFlight {
				t.Error(got)
			}
		}
	}
	if n := f.count("SELECT count(*) FROM waiting_room_events WHERE event_name = 'PatientCheckedIn'"); n != 8 {
		t.Errorf("%d check-ins", n)
	}
}

func TestBadKeysAreRefused(t *testing.T) {
	f := newFixture(t)
	for _, key := range []string{"with blank", "näh", strings.Repeat("x", 256)} {
		if got := f.keyed(key, "c-1", johnDoe); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%q: %v", key, got)
		}
	}
	if n := f.count("SELECT count(*) FROM waiting_room_events"); n != 0 {
		t.Errorf("%d events", n)
	}
}
