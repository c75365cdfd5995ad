package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQueueViews(t *testing.T) {
	f := newFixture(t)
	f.post("/api/waiting-room/check-in", johnDoe)
	f.post("/api/waiting-room/check-in", `{"queueId":"queue-1","patientId":"patient-2","patientName":"Jane Roe","priority":"low","consultationType":"X-ray","isPregnant":true}`)
	f.project("queue-1")
	state := f.get("/api/v1/waiting-room/queue-1/queue-state").json(t)
	if state["currentCount"] != 2.0 || state["maxCapacity"] != 100.0 || state["availableSpots"] != 98.0 || state["isAtCapacity"] != false || state["occupancyPercentage"] != 2.0 {
		t.Errorf("queue state is %v", state)
	}
	patient := state["patientsInQueue"].([]any)[1].(map[string]any)
	if patient["patientId"] != "patient-2" || patient["priority"] != "High" || patient["status"] != "waiting-cashier" {
		t.Errorf("second patient is %v", patient)
	}
	next := f.get("/api/v1/waiting-room/queue-1/next-turn").json(t)
	if next["patientId"] != "patient-1" || next["status"] != "waiting" || next["stationId"] != nil || next["waitTimeMinutes"] == nil {
		t.Errorf("next turn is %v", next)
	}
	monitor := f.get("/api/v1/waiting-room/queue-1/monitor").json(t)
	if diff := cmp.Diff(map[string]any{"Urgent": 0.0, "High": 2.0, "Medium": 0.0, "Low": 0.0}, monitor["priorityDistribution"]); diff != "" {
		t.Errorf("priorities differ (-want +got):\n%s", diff)
	}
	if monitor["isEmpty"] != false || monitor["isHighLoad"] != false || monitor["utilizationPercentage"] != 2.0 {
		t.Errorf("monitor is %v", monitor)
	}
	history := f.get("/api/v1/waiting-room/queue-1/recent-history?limit=20").json(t)
	if visits, ok := history["visits"].([]any); !ok || len(visits) != 0 {
		t.Errorf("history is %v", history)
	}
}

func TestEventsPage(t *testing.T) {
	f := newFixture(t)
	f.post("/api/waiting-room/check-in", johnDoe)
	f.do(http.MethodPost, "/api/waiting-room/check-in", "application/json", with("patientId", `"patient-9"`), "Idempotency-Key", "a-key")
	keyed := f.get("/api/events/queue-1?afterVersion=2").json(t)["events"].([]any)[0].(map[string]any)
	if keyed["idempotencyKey"] != "a-key" {
		t.Errorf("the event of a command with a key is %v", keyed)
	}
	first := f.get("/api/events/queue-1?limit=1").json(t)
	if first["count"] != 1.0 || first["nextAfterVersion"] != 1.0 {
		t.Errorf("first page is %v", first)
	}
	second := f.get("/api/events/queue-1?limit=1&afterVersion=1").json(t)
	if name := second["events"].([]any)[0].(map[string]any)["eventName"]; name != "PatientCheckedIn" {
		t.Errorf("second page has %v", name)
	}
	if third := f.get("/api/events/queue-1?afterVersion=3").json(t); third["count"] != 0.0 {
		t.Errorf("third page is %v", third)
	}
}

func TestLagStatistics(t *testing.T) {
	f := newFixture(t)
	f.post("/api/waiting-room/check-in", johnDoe)
	f.project("queue-1")
	today := time.Now().UTC().Format(time.DateOnly)
	for _, query := range []string{"?eventName=PatientCheckedIn", "?eventName=PatientCheckedIn&from=" + today + "&to=" + today} {
		lag := f.get("/api/metrics/lag" + query).json(t)
		statistics := lag["statistics"].([]any)
		if len(statistics) != 1 {
			t.Fatalf("%s: %v", query, lag)
		}
		s := statistics[0].(map[string]any)
		if s["processedCount"] != 1.0 || s["maxLagMs"].(float64) <= 0 || s["p99LagMs"] != s["maxLagMs"] {
			t.Errorf("%s: %v", query, s)
		}
	}
	if all := f.get("/api/metrics/lag").json(t)["statistics"].([]any); len(all) != 2 {
		t.Errorf("without a name: %v", all)
	}
	if none := f.get("/api/metrics/lag?from=2026-02-19&to=2026-02-20").json(t); len(none["statistics"].([]any)) != 0 || none["to"] != "2026-02-21T00:00:00Z" {
		t.Errorf("a period without events: %v", none)
	}
}

// rebuild has all projections rebuilt, and returns the checkpoint of the first when it is.
func (f *fixture) rebuild() map[string]any {
	f.t.Helper()
	got := f.post("/api/projections/rebuild", "")
	if got.status != http.StatusAccepted || len(got.json(f.t)["projections"].([]any)) != 5 {
		f.t.Fatalf("rebuild answered %v", got)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		checkpoint := f.get("/api/projections/monitor/checkpoint").json(f.t)
		if checkpoint["status"] == "UpToDate" {
			return checkpoint
		}
		select {
		case <-tick.C:
		case <-deadline:
			f.t.Fatalf("not rebuilt within 10 s: %v", checkpoint)
		}
	}
}

func TestProjectionEndpoints(t *testing.T) {
	f := newFixture(t)
	f.post("/api/waiting-room/check-in", johnDoe)
	checkpoint := f.get("/api/projections/monitor/checkpoint").json(t)
	if checkpoint["status"] != "CatchingUp" || checkpoint["eventsBehind"] != 2.0 {
		t.Errorf("before: %v", checkpoint)
	}
	checkpoint = f.rebuild()
	if checkpoint["eventsProcessed"] != 2.0 || checkpoint["rebuiltAt"] == nil || checkpoint["lastEventName"] != "PatientCheckedIn" {
		t.Errorf("after: %v", checkpoint)
	}
	health := f.get("/api/projections/health").json(t)
	if health["status"] != "Healthy" || len(health["projections"].([]any)) != 5 {
		t.Errorf("health: %v", health)
	}
	if monitor := f.get("/api/waiting-room/monitor").json(t); monitor["totalPatientsWaiting"] != 1.0 {
		t.Errorf("the rebuilt monitor shows %v", monitor)
	}
}

func TestHealthAndMetrics(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/health", "/health/ready", "/health/live"} {
		if got := f.get(path); got.status != http.StatusOK || got.json(t)["status"] != "Healthy" {
			t.Errorf("%s: %v", path, got)
		}
	}
	f.get("/api/events/some-queue")
	metrics := f.get("/metrics").body
	if !strings.Contains(metrics, `http_request_duration_seconds_count{method="GET",route="/api/events/{aggregateId}",status="404"} 1`) {
		t.Errorf("the request is not counted by its route:\n%s", metrics)
	}
	if strings.Contains(metrics, "some-queue") {
		t.Error("an id became a label value")
	}
}

// Every route of the guide and of the queue views is in the document, each with
// its errors, and the page shows it without loading anything.
func TestOpenAPI(t *testing.T) {
	f := newFixture(t)
	document := f.get("/openapi.json").json(t)
	if document["openapi"] != "3.1.0" {
		t.Errorf("OpenAPI %v", document["openapi"])
	}
	page := f.get("/docs")
	for path, methods := range map[string]string{
		"/api/waiting-room/check-in": "post", "/api/reception/register": "post", "/api/waiting-room/monitor": "get",
		"/api/events/{aggregateId}": "get", "/api/outbox/pending": "get", "/api/metrics/lag": "get",
		"/api/projections/health": "get", "/api/projections/rebuild": "post", "/api/projections/{projectionId}/checkpoint": "get",
		"/api/v1/waiting-room/{queueId}/monitor": "get", "/api/v1/waiting-room/{queueId}/queue-state": "get",
		"/api/v1/waiting-room/{queueId}/next-turn": "get", "/api/v1/waiting-room/{queueId}/recent-history": "get",
	} {
		operations, _ := document["paths"].(map[string]any)[path].(map[string]any)
		operation, _ := operations[methods].(map[string]any)
		responses, _ := operation["responses"].(map[string]any)
		if responses["503"] == nil || operation["summary"] == "" {
			t.Errorf("%s %s is not documented with its errors", methods, path)
		}
		if !strings.Contains(page.body, path) {
			t.Errorf("the page does not show %s", path)
		}
	}
	if page.status != http.StatusOK || strings.Contains(page.body, "<script") || strings.Contains(page.body, "https://") {
		t.Error("the page loads something from another host")
	}
}
