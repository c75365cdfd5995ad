package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rlapp/rlapp/app/server"
)

// want sends a request and checks what comes back.
func (r *running) want(method, path, body string, status int, texts ...string) {
	r.t.Helper()
	var (
		got    int
		answer string
	)
	if method == http.MethodGet {
		got, answer = r.get(path)
	} else {
		got, answer = r.post(path, body)
	}
	if got != status {
		r.t.Errorf("%s %s: %d, want %d: %s", method, path, got, status, answer)
	}
	for _, text := range texts {
		if !strings.Contains(answer, text) {
			r.t.Errorf("%s %s does not say %s: %s", method, path, text, answer)
		}
	}
}

func TestReadModelsAreRebuiltAndRolledBack(t *testing.T) {
	r := start(t, server.RoleAll, load(t))
	r.checkIn("a")
	r.checkIn("b")
	r.eventually("/api/v1/waiting-room/queue-1/monitor", `"totalPatientsWaiting":2`)
	r.want(http.MethodGet, "/api/projections/monitor/rebuild", "", http.StatusNotFound, "rebuild of projection")
	r.want(http.MethodPost, "/api/projections/monitor/rebuild/rollback", `{"actor":"ada"}`, http.StatusNotFound, "previous read model")

	r.want(http.MethodPost, "/api/projections/rebuild?projectionId=monitor&actor=ada&reason=a+test", "", http.StatusAccepted, "monitor")
	r.eventually("/api/projections/monitor/rebuild", `"status":"DONE"`)
	r.want(http.MethodGet, "/api/projections/monitor/rebuild", "", http.StatusOK, `"events":3`, `"rollBack":false`,
		`{"table":"waiting_queue_view","onlyLive":0,"onlyRebuilt":0,"queues":[]}`)
	r.want(http.MethodPost, "/api/projections/monitor/rebuild/rollback", `{"actor":"ada","reason":"a test"}`, http.StatusAccepted)
	r.eventually("/api/projections/monitor/rebuild", `"rollBack":true`)
	r.eventually("/api/projections/monitor/rebuild", `"status":"DONE"`)
	r.want(http.MethodPost, "/api/v1/waiting-room/queue-1/rebuild?actor=ada", "", http.StatusAccepted)
	r.want(http.MethodPost, "/api/v1/waiting-room/nowhere/rebuild", "", http.StatusNotFound)
	r.want(http.MethodPost, "/api/projections/nothing/rebuild/rollback", `{"actor":"ada"}`, http.StatusNotFound)
	r.want(http.MethodGet, "/api/operator-actions", "", http.StatusOK, `"action":"projection.rebuild"`, `"action":"projection.rollback"`,
		`"action":"queue.rebuild"`, `"actor":"ada"`)
	r.checkIn("c")
	r.eventually("/api/v1/waiting-room/queue-1/monitor", `"totalPatientsWaiting":3`)
}

func TestOperatorsAskForRetention(t *testing.T) {
	r := start(t, server.RoleAll, load(t))
	r.eventually("/api/retention", `"id":1`) // by schedule
	r.want(http.MethodPost, "/api/retention", `{"actor":"ada"}`, http.StatusAccepted)
	r.eventually("/api/retention", `"id":2`)
	r.want(http.MethodGet, "/api/operator-actions", "", http.StatusOK, `"action":"retention.start"`)
}
