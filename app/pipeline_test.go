package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// The guide's "Testing the Full Pipeline", through RabbitMQ with three processes.
func TestPipelineWithThreeProcesses(t *testing.T) {
	env := services(t)
	api := run(t, env, "api").started()
	run(t, env, "worker").started()
	run(t, env, "projections").started()
	walkPipeline(t, api)
}

// The same on the embedded default: no server, no configuration.
func TestPipelineOnTheEmbeddedDefault(t *testing.T) {
	everything := run(t, []string{"Embedded__DataDirectory=" + dataDirectory(t)}).started()
	walkPipeline(t, everything)
	for _, want := range []string{"/docs", "/metrics", "curl -X POST http://" + everything.address + "/api/waiting-room/check-in"} {
		if !strings.Contains(everything.output(), want) {
			t.Errorf("the greeting does not show %q", want)
		}
	}
	everything.terminate()
}

// Everything in one process, relayed over RabbitMQ.
func TestPipelineInOneProcessOverRabbitMQ(t *testing.T) {
	walkPipeline(t, run(t, services(t)).started())
}

func walkPipeline(t *testing.T, api *process) {
	t.Helper()
	// 1. Create a patient check-in
	status, answer, err := api.post("/api/waiting-room/check-in", `{
    "queueId": "queue-1",
    "patientId": "patient-1",
    "patientName": "John Doe",
    "priority": "HIGH",
    "consultationType": "Cardiology"
  }`)
	if err != nil || status != http.StatusOK || answer["success"] != true || answer["eventCount"] != 2.0 {
		t.Fatalf("check-in: %d %v %v", status, answer, err)
	}
	// 2. Check event in EventStore
	if _, events := api.get("/api/events/queue-1"); events["count"] != 2.0 {
		t.Errorf("events: %v", events)
	}
	// 3. Verify outbox dispatch
	eventually(t, func() error {
		if _, pending := api.get("/api/outbox/pending"); pending["count"] != 0.0 {
			return fmt.Errorf("outbox: %v", pending)
		}
		return nil
	})
	// 4. Check read model in projection
	eventually(t, func() error {
		if _, monitor := api.get("/api/waiting-room/monitor"); monitor["totalPatientsWaiting"] != 1.0 {
			return fmt.Errorf("monitor: %v", monitor)
		}
		return nil
	})
	// 5. View lag metrics
	eventually(t, func() error {
		_, lag := api.get("/api/metrics/lag?eventName=PatientCheckedIn")
		statistics, _ := lag["statistics"].([]any)
		if len(statistics) != 1 || statistics[0].(map[string]any)["processedCount"] != 1.0 {
			return fmt.Errorf("lag: %v", lag)
		}
		if statistics[0].(map[string]any)["averageLagMs"].(float64) <= 0 {
			return fmt.Errorf("lag is not positive: %v", lag)
		}
		return nil
	})
	eventually(t, func() error {
		_, health := api.get("/api/projections/health")
		for _, p := range health["projections"].([]any) {
			if p.(map[string]any)["status"] != "UpToDate" {
				return fmt.Errorf("projections: %v", health)
			}
		}
		return nil
	})
}
