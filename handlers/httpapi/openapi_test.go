package httpapi_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
)

// undocumented are the routes that are not the API's but the process's, and the
// document's own.
func undocumented(route string) bool {
	return route == "/metrics" || route == "/docs" || strings.HasPrefix(route, "/health") || strings.HasPrefix(route, "/openapi")
}

// Every route is in the document, and the document names no other.
func TestTheDocumentHasEveryRoute(t *testing.T) {
	f := newFixture(t)
	var routes, described []string
	err := chi.Walk(f.routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if !undocumented(route) {
			routes = append(routes, method+" "+route)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range operations(f.document) {
		described = append(described, o.method+" "+o.path)
	}
	slices.Sort(routes)
	slices.Sort(described)
	for _, r := range routes {
		if !slices.Contains(described, r) {
			t.Errorf("%s is not in the document", r)
		}
	}
	for _, d := range described {
		if !slices.Contains(routes, d) {
			t.Errorf("the document names %s, which is not there", d)
		}
	}
	// What the patient journey and the guide promise.
	for _, promised := range []string{
		"POST /api/waiting-room/check-in", "POST /api/reception/register", "POST /api/cashier/call-next", "POST /api/cashier/validate-payment",
		"POST /api/cashier/mark-payment-pending", "POST /api/cashier/cancel-payment", "POST /api/cashier/mark-absent",
		"POST /api/medical/mark-absent", "POST /api/medical/call-next", "POST /api/waiting-room/claim-next",
		"POST /api/medical/consulting-room/activate", "POST /api/medical/consulting-room/deactivate",
		"POST /api/medical/start-consultation", "POST /api/waiting-room/call-patient", "POST /api/medical/finish-consultation",
		"POST /api/waiting-room/complete-attention", "GET /api/v1/waiting-room/{queueId}/monitor", "GET /api/v1/waiting-room/{queueId}/queue-state",
		"GET /api/v1/waiting-room/{queueId}/next-turn", "GET /api/v1/waiting-room/{queueId}/recent-history", "POST /api/v1/waiting-room/{queueId}/rebuild",
		"GET /api/v1/waiting-room/{queueId}/journey", "GET /api/v1/waiting-room/{queueId}/stream", "GET /api/v1/waiting-room/{queueId}/explain",
		"GET /api/waiting-room/monitor", "GET /api/events/{aggregateId}", "GET /api/outbox/pending", "GET /api/metrics/lag",
		"GET /api/projections/health", "POST /api/projections/rebuild", "GET /api/projections/{projectionId}/checkpoint", "GET /api/projections/{projectionId}/rebuild",
	} {
		if !slices.Contains(routes, promised) {
			t.Errorf("%s is missing", promised)
		}
	}
}

// Every operation says what it is for and what can go wrong, and every field that a
// client sends or gets has an example.
func TestTheDocumentIsComplete(t *testing.T) {
	f := newFixture(t)
	for _, o := range operations(f.document) {
		name := o.method + " " + o.path
		if o.Summary == "" || len(o.Tags) != 1 {
			t.Errorf("%s has no summary or tag", name)
		}
		errs := []string{"400", "401", "403", "422", "429", "500", "503"}
		if o.method == http.MethodPost {
			errs = append(errs, "413", "415")
		}
		for _, status := range errs {
			if o.Responses[status].Content["application/problem+json"].Schema.Ref != "#/"+strings.Join(problem, "/") {
				t.Errorf("%s does not describe %s", name, status)
			}
		}
		for status, response := range o.Responses {
			for _, content := range response.Content {
				if bare := f.document.bare(status, content.Schema); len(bare) > 0 {
					t.Errorf("%s: without example are %v", name, bare)
				}
			}
		}
		for _, p := range o.Parameters {
			if p.Description == "" || p.In == "path" && p.Example == nil && len(p.Schema.Examples) == 0 {
				t.Errorf("%s: the parameter %s has no description or example", name, p.Name)
			}
		}
		for field, property := range f.document.fields(o.RequestBody.Content["application/json"].Schema) {
			if property.Description == "" || len(property.Examples) == 0 {
				t.Errorf("%s: the field %s has no description or example", name, field)
			}
		}
	}
}

// Every example is valid by its own schema.
func TestTheExamplesAreValid(t *testing.T) {
	f := newFixture(t)
	for name, schema := range f.document.Components.Schemas {
		for field, property := range schema.Properties {
			for _, example := range property.Examples {
				shown, err := json.Marshal(example)
				if err == nil {
					err = f.document.schemas.check(string(shown), "components", "schemas", name, "properties", field)
				}
				if err != nil {
					t.Errorf("%s.%s: %v", name, field, err)
				}
			}
		}
	}
}

// Every GET of the document answers as it says there, for the examples of its parameters.
func TestTheExamplesCanBeTried(t *testing.T) {
	f := newFixture(t)
	f.finish("earlier")
	f.post("/api/waiting-room/check-in", johnDoe)
	f.project("queue-1")
	f.rebuild()
	for _, statement := range []string{
		`INSERT INTO waiting_room_outbox (id, aggregate_id, event_name, payload, retry_count, last_error, last_failed_at, next_attempt_at)
			VALUES (42, 'queue-1', 'PatientCheckedIn', '{}', 1, 'nacked', now(), now())`,
		`INSERT INTO poison_messages (id, message_id, handler, topic, event_name, aggregate_id, reason, payload, metadata)
			VALUES (42, 'm', 'plugin.notifications.tell-patient', 'waiting_room_events', 'PatientCheckedIn', 'queue-1', 'refused', '{}', '{"version": "1"}')`,
		`INSERT INTO retention_runs (started_at) VALUES (now())`,
		`INSERT INTO operator_actions (actor, action, target, reason, affected) VALUES ('ada', 'outbox.retry', '42', 'a test', 1)`,
	} {
		if _, err := f.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range operations(f.document) {
		if o.method != http.MethodGet || o.OperationID == "stream" {
			continue
		}
		if got := f.get(o.target("", "")); got.status != http.StatusOK {
			t.Errorf("%s answers %d: %s", o.path, got.status, got.body)
		}
	}
}

// schema/openapi.yaml is the document as it is served, and client/openapi-3.0.yaml in the
// form that the client is generated from.
func TestTheDocumentIsCheckedIn(t *testing.T) {
	f := newFixture(t)
	wantGenerated(t, filepath.Join("..", "..", "schema", "openapi.yaml"), []byte(f.get("/openapi.yaml").body))
	wantGenerated(t, filepath.Join("..", "..", "client", "openapi-3.0.yaml"), []byte(f.get("/openapi-3.0.yaml").body))
}
