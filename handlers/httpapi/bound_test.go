package httpapi_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/rlapp/rlapp/handlers/httpapi"
)

// What comes beyond the bound is refused at once; operators are answered.
func TestRequestsInFlightAreBounded(t *testing.T) {
	f := newFixtureWith(t, httpapi.Config{MaxInFlight: 1})
	tx, err := f.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), "LOCK TABLE waiting_queue_view"); err != nil {
		t.Fatal(err)
	}
	first := make(chan answer, 1)
	go func() { first <- f.do(http.MethodGet, "/api/waiting-room/monitor", "", "") }()
	eventually(t, func() (waits bool) {
		if err := tx.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").Scan(&waits); err != nil {
			t.Fatal(err)
		}
		return waits
	})
	if got := f.do(http.MethodGet, "/api/operator-actions", "", ""); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("a second request: %d", got.status)
	}
	if got := f.do(http.MethodGet, "/health/live", "", ""); got.status != http.StatusOK {
		t.Errorf("health: %d", got.status)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-first; got.status != http.StatusOK {
		t.Errorf("the first request: %d: %s", got.status, got.body)
	}
	if got := f.do(http.MethodGet, "/api/operator-actions", "", ""); got.status != http.StatusOK {
		t.Errorf("afterwards: %d", got.status)
	}
}

// eventually waits until something is so.
func eventually(t testing.TB, is func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(10*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not within 30 s")
		}
	}
}
