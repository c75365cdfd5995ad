package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/handlers/httpapi"
)

var update = flag.Bool("update", false, "write the generated files anew")

// keyed is an API that asks callers for their keys.
type keyed struct {
	*fixture
	keys   *postgres.APIKeys
	lookUp atomic.Int64 // how often it looked a key up
}

// Authenticate implements httpapi.Authenticator.
func (k *keyed) Authenticate(ctx context.Context, key string) (httpapi.Identity, error) {
	k.lookUp.Add(1)
	found, err := k.keys.Find(ctx, key)
	if errors.Is(err, postgres.ErrUnknownKey) {
		return httpapi.Identity{}, &httpapi.CredentialError{Reason: "unknown key"}
	}
	identity := httpapi.Identity{Name: found.Name, Queues: found.Queues}
	for _, r := range found.Roles {
		identity.Roles = append(identity.Roles, httpapi.Role(r))
	}
	return identity, err
}

func newKeyed(t *testing.T, config httpapi.Config) *keyed {
	t.Helper()
	k := &keyed{}
	config.Authentication.Keys = k
	k.fixture = newFixtureTuned(t, postgrestest.Migrated(t), config)
	k.keys = postgres.NewAPIKeys(k.pool)
	return k
}

// key makes a key with roles.
func (k *keyed) key(name string, queues []string, roles ...httpapi.Role) string {
	k.t.Helper()
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	key, err := k.keys.Create(k.t.Context(), name, names, queues, postgres.Operator{Actor: "ada"})
	if err != nil {
		k.t.Fatal(err)
	}
	return key
}

func (k *keyed) ask(key, method, path, body string) answer {
	k.t.Helper()
	contentType := ""
	if method == http.MethodPost {
		contentType = "application/json"
	}
	return k.do(method, path, contentType, body, "X-Api-Key", key)
}

// Every role gets through where the table says so, and nowhere else.
func TestEveryRouteForEveryRole(t *testing.T) {
	k := newKeyed(t, httpapi.Config{})
	keys := map[httpapi.Role]string{}
	for _, role := range httpapi.Roles() {
		keys[role] = k.key("the "+string(role), nil, role)
	}
	fill := strings.NewReplacer("{queueId}", "unknown", "{aggregateId}", "unknown", "{projectionId}", "unknown", "{id}", "999999")
	for _, o := range operations(k.document) {
		path := fill.Replace(o.path)
		if got := k.do(o.method, path, "application/json", "{}"); got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s %s without a key: %d", o.method, path, got.status)
		}
		if got := k.ask("rlapp_guessed", o.method, path, "{}"); got.status != http.StatusUnauthorized {
			t.Errorf("%s %s with a guessed key: %d", o.method, path, got.status)
		}
		for _, role := range httpapi.Roles() {
			want := role == httpapi.Admin || slices.Contains(httpapi.Allowed()[o.OperationID], role)
			got := k.ask(keys[role], o.method, path, `{"surprise":1}`)
			if (got.status != http.StatusForbidden) != want || got.status == http.StatusUnauthorized || got.status >= 500 {
				t.Errorf("%s %s as %s: %d, allowed: %t", o.method, path, role, got.status, want)
			}
		}
	}
	if len(operations(k.document)) != len(httpapi.Allowed()) {
		t.Errorf("the table has %d operations, the document %d", len(httpapi.Allowed()), len(operations(k.document)))
	}
}

// A name that cannot be recorded, or looks like another one, is nobody's.
func TestACallersNameIsReadable(t *testing.T) {
	k := newKeyed(t, httpapi.Config{})
	for _, name := range []string{"a\nb", "a\u202eb", "a\u200bb"} {
		wantProblem(t, k.ask(k.key(name, nil, httpapi.Admin), http.MethodGet, "/api/outbox", ""), http.StatusUnauthorized, "")
	}
}

// A caller with a queue scope reaches those queues, be they in the path or in the body,
// and nothing that is about all.
func TestAScopeHolds(t *testing.T) {
	k := newKeyed(t, httpapi.Config{})
	everywhere := k.key("everywhere", nil, httpapi.Reception, httpapi.Operator)
	scoped := k.key("scoped", []string{"queue-1"}, httpapi.Reception, httpapi.Cashier, httpapi.Display, httpapi.Operator)
	other := strings.Replace(johnDoe, "queue-1", "queue-2", 1)
	for _, body := range []string{johnDoe, other} {
		if got := k.ask(everywhere, http.MethodPost, "/api/waiting-room/check-in", strings.Replace(body, "patient-1", "patient-0", 1)); got.status != http.StatusOK {
			t.Fatal(got)
		}
	}
	k.project("queue-1")
	k.project("queue-2")
	for request, want := range map[[3]string]int{
		{"POST", "/api/waiting-room/check-in", johnDoe}:                                                 200,
		{"POST", "/api/waiting-room/check-in", other}:                                                   403,
		{"POST", "/api/waiting-room/check-in", strings.Replace(johnDoe, `"queue-1"`, `" queue-2 "`, 1)}: 403,
		{"POST", "/api/cashier/call-next", body("queueId", "queue-2")}:                                  403,
		{"GET", "/api/v1/waiting-room/queue-1/board", ""}:                                               200,
		{"GET", "/api/v1/waiting-room/queue-2/board", ""}:                                               403,
		{"GET", "/api/v1/waiting-room/queue-2/stream", ""}:                                              403,
		{"GET", "/api/v1/waiting-room/queue-2/explain?patientId=patient-0", ""}:                         403,
		{"GET", "/api/events/queue-1", ""}:                                                              200,
		{"GET", "/api/events/queue-2", ""}:                                                              403,
		{"GET", "/api/waiting-room/monitor", ""}:                                                        403,
		{"GET", "/api/outbox/pending", ""}:                                                              403,
	} {
		if got := k.ask(scoped, request[0], request[1], request[2]); got.status != want {
			t.Errorf("%v: %d, want %d: %s", request, got.status, want, got.body)
		}
	}
}

// The actor is the caller, whatever the body says, and none has to be named.
func TestTheActorIsTheCaller(t *testing.T) {
	k := newKeyed(t, httpapi.Config{})
	key := k.key("kiosk-7", nil, httpapi.Reception, httpapi.Cashier, httpapi.Operator)
	k.ask(key, http.MethodPost, "/api/waiting-room/check-in", with("actor", `"the director"`))
	if got := k.ask(key, http.MethodPost, "/api/cashier/call-next", body("queueId", "queue-1")); got.status != http.StatusOK {
		t.Fatal(got)
	}
	events := k.ask(key, http.MethodGet, "/api/events/queue-1", "").json(t)["events"].([]any)
	for _, e := range events {
		if actor := e.(map[string]any)["actor"]; actor != "kiosk-7" {
			t.Errorf("the actor is %v", actor)
		}
	}
}

func TestARevokedKeyEnds(t *testing.T) {
	k := newKeyed(t, httpapi.Config{})
	key := k.key("kiosk", nil, httpapi.Reception)
	if err := k.keys.Revoke(t.Context(), "kiosk", postgres.Operator{Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	if got := k.ask(key, http.MethodPost, "/api/waiting-room/check-in", johnDoe); got.status != http.StatusUnauthorized {
		t.Errorf("a revoked key: %d", got.status)
	}
	wantNothingStored(t, k.fixture)
}

// One caller's requests are bounded, and do not count against another's. Probes are not
// counted at all, although they come from the address of those who show no name.
func TestRequestsAreLimited(t *testing.T) {
	k := newKeyed(t, httpapi.Config{RequestsPerMinute: 5})
	one, other := k.key("one", nil, httpapi.Display), k.key("other", nil, httpapi.Display)
	limited := untilLimited(t, func(_ int) answer { return k.ask(one, http.MethodGet, "/api/waiting-room/monitor", "") })
	if limited.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if got := k.ask(other, http.MethodGet, "/api/waiting-room/monitor", ""); got.status != http.StatusOK {
		t.Errorf("the other caller: %d", got.status)
	}
	for range 11 {
		if limited = k.get("/docs"); limited.status == http.StatusTooManyRequests {
			break
		}
	}
	wantProblem(t, limited, http.StatusTooManyRequests, "")
	// Who shows a credential that is not accepted is known by the same address.
	wantProblem(t, k.ask("rlapp_guessed", http.MethodGet, "/api/waiting-room/monitor", ""), http.StatusTooManyRequests, "")
	for _, path := range []string{"/health", "/health/live", "/health/ready", "/metrics"} {
		if got := k.get(path); got.status != http.StatusOK {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

// untilLimited asks until it is one request too many of five a minute, and returns that
// answer. A minute may end in between.
func untilLimited(t *testing.T, ask func(n int) answer) (limited answer) {
	t.Helper()
	for n := range 11 {
		if limited = ask(n); limited.status == http.StatusTooManyRequests {
			break
		}
	}
	wantProblem(t, limited, http.StatusTooManyRequests, "")
	return limited
}

// An address that guesses is refused without a look at its guesses, and shuts nobody out
// who was let in before.
func TestGuessesAreLimited(t *testing.T) {
	k := newKeyed(t, httpapi.Config{RequestsPerMinute: 5})
	known, unknown := k.key("known", nil, httpapi.Display), k.key("unknown", nil, httpapi.Display)
	board := func(key string) answer {
		t.Helper()
		return k.ask(key, http.MethodGet, "/api/waiting-room/monitor", "")
	}
	if got := board(known); got.status != http.StatusOK {
		t.Fatal(got)
	}
	untilLimited(t, func(n int) answer { return board(fmt.Sprintf("rlapp_guess_%d", n)) })
	before := k.lookUp.Load()
	for _, key := range []string{"rlapp_another_guess", unknown} {
		got := board(key)
		wantProblem(t, got, http.StatusTooManyRequests, "")
		if got.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if after := k.lookUp.Load(); after != before {
		t.Errorf("%d guesses beyond the limit were looked up", after-before)
	}
	if got := board(known); got.status != http.StatusOK {
		t.Errorf("who was let in before: %d", got.status)
	}
}

// So are credentials that nobody can tell about.
func TestGuessesAreLimitedWhileTheIssuerIsAway(t *testing.T) {
	tokens := &revocable{}
	f := newFixtureWith(t, httpapi.Config{RequestsPerMinute: 5, Authentication: httpapi.Authentication{Tokens: tokens}})
	show := func(token string) answer {
		t.Helper()
		return f.do(http.MethodGet, "/api/waiting-room/monitor", "", "", "Authorization", "Bearer "+token)
	}
	if got := show("known"); got.status != http.StatusOK {
		t.Fatal(got)
	}
	tokens.away.Store(true)
	untilLimited(t, func(n int) answer { return show(fmt.Sprint("guess-", n)) })
	before := tokens.asked.Load()
	wantProblem(t, show("another guess"), http.StatusTooManyRequests, "")
	if after := tokens.asked.Load(); after != before {
		t.Error("a guess beyond the limit was looked up")
	}
	wantProblem(t, show("known"), http.StatusServiceUnavailable, "")
}

// A credential that was accepted and no longer is counts like any other.
func TestACredentialThatEndsIsAGuess(t *testing.T) {
	tokens := &revocable{}
	f := newFixtureWith(t, httpapi.Config{RequestsPerMinute: 5, Authentication: httpapi.Authentication{Tokens: tokens}})
	show := func() answer {
		t.Helper()
		return f.do(http.MethodGet, "/api/waiting-room/monitor", "", "", "Authorization", "Bearer x")
	}
	if got := show(); got.status != http.StatusOK {
		t.Fatal(got)
	}
	tokens.revoked.Store(true)
	untilLimited(t, func(_ int) answer { return show() })
	before := tokens.asked.Load()
	wantProblem(t, show(), http.StatusTooManyRequests, "")
	if tokens.asked.Load() != before {
		t.Error("beyond the limit it is verified")
	}
}

// docs/roles.md is the table as operators read it.
func TestTheRolesPage(t *testing.T) {
	f := newFixture(t)
	var page bytes.Buffer
	page.WriteString("# Who may do what\n\nAn admin may do everything. Generated from the table in `handlers/httpapi/roles.go`;\n" +
		"`go test ./handlers/httpapi -run TestTheRolesPage -update` writes it anew.\n\n| route |")
	roles := slices.DeleteFunc(httpapi.Roles(), func(r httpapi.Role) bool { return r == httpapi.Admin })
	for _, r := range roles {
		fmt.Fprintf(&page, " %s |", r)
	}
	page.WriteString("\n|---|" + strings.Repeat(":-:|", len(roles)) + "\n")
	for _, o := range operations(f.document) {
		fmt.Fprintf(&page, "| `%s %s` |", o.method, o.path)
		for _, r := range roles {
			mark := " "
			if slices.Contains(httpapi.Allowed()[o.OperationID], r) {
				mark = " ✓ "
			}
			page.WriteString(mark + "|")
		}
		page.WriteByte('\n')
	}
	wantGenerated(t, filepath.Join("..", "..", "docs", "roles.md"), page.Bytes())
}

// wantGenerated compares a checked-in file with what it is made from.
func wantGenerated(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is stale; run go test ./handlers/httpapi -update\n%s", path, diff)
	}
}
