package httpapi_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// outbox puts rows into the outbox, one in each state, and returns the ids by state.
func (f *fixture) outbox() map[string]int64 {
	f.t.Helper()
	ids := map[string]int64{}
	for _, row := range []struct{ status, columns, values string }{
		{"PENDING", "", ""},
		{"FAILED", ", retry_count, last_error, next_attempt_at", ", 2, 'nacked', now() + interval '2 minutes'"},
		{"PARKED", ", retry_count, last_error, parked_at", ", 5, 'too large', now()"},
		{"UNROUTABLE", ", retry_count, last_error, parked_at, unroutable", ", 1, 'NO_ROUTE', now(), true"},
		{"PUBLISHED", ", published, published_at", ", true, now()"},
	} {
		var id int64
		err := f.pool.QueryRow(f.t.Context(), fmt.Sprintf(`
			INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload%s)
			VALUES ('queue-'||$1, 'PatientCheckedIn', '{}'%s) RETURNING id`, row.columns, row.values), row.status).Scan(&id)
		if err != nil {
			f.t.Fatal(err)
		}
		ids[row.status] = id
	}
	return ids
}

// statuses are those of the events that a GET lists.
func (f *fixture) statuses(query string) []string {
	f.t.Helper()
	var statuses []string
	for _, event := range f.get("/api/outbox" + query).json(f.t)["events"].([]any) {
		statuses = append(statuses, event.(map[string]any)["status"].(string))
	}
	return statuses
}

func TestTheOutboxIsListed(t *testing.T) {
	f := newFixture(t)
	ids := f.outbox()
	for query, want := range map[string][]string{
		"":                         {"PENDING", "FAILED", "PARKED", "UNROUTABLE", "PUBLISHED"},
		"?status=PARKED":           {"PARKED"},
		"?status=PUBLISHED":        {"PUBLISHED"},
		"?status=DISCARDED":        nil,
		"?queueId=queue-FAILED":    {"FAILED"},
		"?eventName=PatientCalled": nil,
		"?limit=2":                 {"PENDING", "FAILED"},
		fmt.Sprintf("?limit=2&after=%d", ids["FAILED"]): {"PARKED", "UNROUTABLE"},
	} {
		if diff := cmp.Diff(want, f.statuses(query)); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", query, diff)
		}
	}
	if next := f.get("/api/outbox?limit=2").json(t)["nextAfter"]; next != float64(ids["FAILED"]) {
		t.Errorf("the next page is behind %v", next)
	}
	one := f.get(fmt.Sprintf("/api/outbox/%d", ids["UNROUTABLE"])).json(t)
	if one["status"] != "UNROUTABLE" || one["lastError"] != "NO_ROUTE" {
		t.Errorf("got %v", one)
	}
	for _, query := range []string{"?status=LOST", "?limit=0", "?limit=1001", "?after=-1", "/0", "/x"} {
		if got := f.get("/api/outbox" + query); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %v", query, got)
		}
	}
	if got := f.get("/api/outbox/4711"); got.status != http.StatusNotFound {
		t.Error(got)
	}
}

func TestOperatorsPutTheOutboxRight(t *testing.T) {
	f := newFixture(t)
	ids := f.outbox()
	post := func(path, body string) answer { t.Helper(); return f.post("/api/outbox"+path, body) }
	for _, test := range []struct {
		name, path, body string
		status           int
	}{
		{"retry what waits for nothing", fmt.Sprintf("/%d/retry", ids["PENDING"]), `{"actor":"ada"}`, http.StatusConflict},
		{"retry what is published", fmt.Sprintf("/%d/retry", ids["PUBLISHED"]), `{"actor":"ada"}`, http.StatusConflict},
		{"retry what is not there", "/4711/retry", `{"actor":"ada"}`, http.StatusNotFound},
		{"retry by nobody", fmt.Sprintf("/%d/retry", ids["PARKED"]), `{}`, http.StatusUnprocessableEntity},
		{"discard what is on the schedule", fmt.Sprintf("/%d/discard", ids["FAILED"]), `{"actor":"ada","reason":"old"}`, http.StatusConflict},
		{"discard without a reason", fmt.Sprintf("/%d/discard", ids["PARKED"]), `{"actor":"ada"}`, http.StatusUnprocessableEntity},
	} {
		if got := post(test.path, test.body); got.status != test.status {
			t.Errorf("%s: %v", test.name, got)
		}
	}
	if n := f.count("SELECT count(*) FROM operator_actions"); n != 0 {
		t.Errorf("%d actions were recorded that changed nothing", n)
	}

	if got := post(fmt.Sprintf("/%d/discard", ids["UNROUTABLE"]), `{"actor":"ada","reason":"nobody listens"}`); got.status != http.StatusOK {
		t.Error(got)
	}
	if got := post(fmt.Sprintf("/%d/retry", ids["PARKED"]), `{"actor":"ada","reason":"fits now"}`); got.status != http.StatusOK {
		t.Error(got)
	}
	if got := post("/retry", `{"actor":"bob","status":"FAILED","eventName":"PatientCheckedIn"}`); got.json(t)["changed"] != 1.0 {
		t.Error(got)
	}
	if got := post("/retry", `{"actor":"bob","status":"PARKED"}`); got.status != http.StatusOK || got.json(t)["changed"] != 0.0 {
		t.Error(got)
	}
	want := []string{"PENDING", "FAILED", "PENDING", "DISCARDED", "PUBLISHED"}
	if diff := cmp.Diff(want, f.statuses("")); diff != "" {
		t.Errorf("states differ (-want +got):\n%s", diff)
	}
	if n := f.count("SELECT count(*) FROM waiting_room_outbox WHERE NOT published AND (next_attempt_at IS NOT NULL OR parked_at IS NOT NULL)"); n != 0 {
		t.Errorf("%d events still wait", n)
	}

	actions := f.get("/api/operator-actions").json(t)["actions"]
	ignore := cmpopts.IgnoreMapEntries(func(key string, _ any) bool { return key == "id" || key == "takenAt" })
	wantActions := []any{
		map[string]any{"actor": "bob", "action": "outbox.retry", "target": "status=FAILED eventName=PatientCheckedIn", "reason": "", "changed": 1.0},
		map[string]any{"actor": "ada", "action": "outbox.retry", "target": fmt.Sprint(ids["PARKED"]), "reason": "fits now", "changed": 1.0},
		map[string]any{"actor": "ada", "action": "outbox.discard", "target": fmt.Sprint(ids["UNROUTABLE"]), "reason": "nobody listens", "changed": 1.0},
	}
	if diff := cmp.Diff(wantActions, actions, ignore); diff != "" {
		t.Errorf("the record differs (-want +got):\n%s", diff)
	}
}
