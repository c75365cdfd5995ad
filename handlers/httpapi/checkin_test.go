package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const johnDoe = `{"queueId":"queue-1","patientId":"patient-1","patientName":"John Doe","priority":"HIGH","consultationType":"Cardiology"}`

func TestCheckInIsStoredAndShown(t *testing.T) {
	for _, path := range []string{"/api/waiting-room/check-in", "/api/reception/register"} {
		t.Run(path, func(t *testing.T) {
			f := newFixture(t)
			got := f.do(http.MethodPost, path, "application/json; charset=utf-8", johnDoe, "X-Correlation-Id", "c-1")
			want := map[string]any{
				"success": true, "message": "patient checked in", "correlationId": "c-1", "eventCount": 2.0,
				"patientId": "patient-1", "ticketNumber": "A-001", "queueVersion": 2.0, "position": 2.0,
			}
			if diff := cmp.Diff(want, got.json(t)); got.status != http.StatusOK || diff != "" {
				t.Fatalf("status %d, answer differs (-want +got):\n%s", got.status, diff)
			}
			if id := got.header.Get("X-Correlation-Id"); id != "c-1" {
				t.Errorf("the answer's correlation id is %q", id)
			}
			events := f.get("/api/events/queue-1").json(t)
			second := events["events"].([]any)[1].(map[string]any)
			if events["count"] != 2.0 || second["eventName"] != "PatientCheckedIn" || second["correlationId"] != "c-1" || second["actor"] != "anonymous" {
				t.Errorf("events are %v", events)
			}
			if pending := f.get("/api/outbox/pending").json(t); pending["count"] != 2.0 {
				t.Errorf("the outbox holds %v", pending)
			}
			f.project("queue-1")
			monitor := f.get("/api/waiting-room/monitor").json(t)
			queue := monitor["queues"].([]any)[0].(map[string]any)
			if monitor["totalPatientsWaiting"] != 1.0 || queue["queueId"] != "queue-1" || queue["highPriorityCount"] != 1.0 {
				t.Errorf("the monitor shows %v", monitor)
			}
		})
	}
}

func TestRefusalsAreProblems(t *testing.T) {
	f := newFixture(t)
	if got := f.post("/api/waiting-room/check-in", johnDoe); got.status != http.StatusOK {
		t.Fatal(got)
	}
	got := f.post("/api/waiting-room/check-in", johnDoe)
	problem := got.json(t)
	if got.status != http.StatusConflict || problem["code"] != "already_checked_in" || problem["title"] != "Conflict" ||
		problem["correlationId"] != got.header.Get("X-Correlation-Id") || got.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, %v, %v", got.status, got.header, problem)
	}
}

func TestAFullQueueRefuses(t *testing.T) {
	f := newFixture(t)
	for n := range 101 {
		body := strings.Replace(johnDoe, "patient-1", fmt.Sprintf("patient-%d", n), 1)
		got := f.post("/api/waiting-room/check-in", body)
		if n < 100 && got.status != http.StatusOK {
			t.Fatalf("patient %d: %v", n, got)
		}
		if n == 100 && (got.status != http.StatusConflict || got.json(t)["code"] != "queue_full") {
			t.Errorf("patient 101: %v", got)
		}
	}
}

// Check-ins to one queue that race all succeed, in some order, once each.
func TestConcurrentCheckIns(t *testing.T) {
	f := newFixture(t)
	var group sync.WaitGroup
	const clients = 64
	for n := range clients {
		group.Go(func() {
			body := strings.Replace(johnDoe, "patient-1", fmt.Sprintf("patient-%d", n), 1)
			if got := f.post("/api/waiting-room/check-in", body); got.status != http.StatusOK {
				t.Errorf("patient %d: %v", n, got)
			}
		})
	}
	group.Wait()
	if events := f.get("/api/events/queue-1").json(t); events["count"] != clients+1.0 {
		t.Errorf("%v events, want the queue's creation and %d check-ins", events["count"], clients)
	}
}

func TestCorrelationIDs(t *testing.T) {
	f := newFixture(t)
	for given, kept := range map[string]bool{"abc-1": true, "": false, strings.Repeat("x", 129): false, "with space": false, "näh": false} {
		got := f.do(http.MethodGet, "/api/waiting-room/monitor", "", "", "X-Correlation-Id", given).header.Get("X-Correlation-Id")
		if kept != (got == given) || got == "" {
			t.Errorf("%q came back as %q", given, got)
		}
	}
}

// A database that hangs is waited for as long as RequestTimeout says; the
// request is then answered, not cut off.
func TestASlowDatabaseIsWaitedFor(t *testing.T) {
	f := newFixture(t)
	tx, err := f.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE waiting_room_outbox"); err != nil {
		t.Fatal(err)
	}
	// Longer than the five seconds that huma gives a body unless told otherwise.
	release := time.AfterFunc(6*time.Second, func() { _ = tx.Rollback(context.Background()) })
	defer release.Stop()
	if got := f.post("/api/waiting-room/check-in", johnDoe); got.status != http.StatusOK {
		t.Errorf("got %v", got)
	}
}
