package server_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/rlapp/rlapp/adapters/oidc/oidctest"
	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/app/server"
)

// answer is what a caller gets.
type answer struct {
	status int
	header http.Header
	body   string
}

// request is a request of a caller who shows a credential in a header.
func (r *running) request(header, credential, method, path, body string) *http.Request {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(header, credential)
	return request
}

// as asks as such a caller.
func (r *running) as(header, credential, method, path, body string) answer {
	r.t.Helper()
	response, err := http.DefaultClient.Do(r.request(header, credential, method, path, body))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func (r *running) bearer(token, method, path, body string) answer {
	r.t.Helper()
	return r.as("Authorization", "Bearer "+token, method, path, body)
}

func (r *running) holder(key, method, path, body string) answer {
	r.t.Helper()
	return r.as("X-Api-Key", key, method, path, body)
}

const checkInPath = "/api/waiting-room/check-in"

func patientOf(queue, patient string) string {
	return fmt.Sprintf(`{"queueId":%q,"patientId":%q,"patientName":"John Doe","priority":"high","consultationType":"Cardiology"}`, queue, patient)
}

// clinicClaims are those of a token of a receptionist, with what changes.
func clinicClaims(issuer *oidctest.Issuer, changes map[string]any) map[string]any {
	claims := map[string]any{
		"iss": issuer.URL, "aud": "rlapp-test", "sub": "u-1", "preferred_username": "anna",
		"groups": []string{"reception", "operator", "juggler"}, "sections": "queue-1 queue-3", "exp": in(time.Hour),
	}
	maps.Copy(claims, changes)
	return claims
}

func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }

// Every setting of Auth__ for tokens is at work; none is what it is by default.
func TestBearersOfTokens(t *testing.T) {
	issuer := oidctest.New(t)
	r := start(t, server.RoleAll, load(t, "Auth__Issuer="+issuer.URL, "Auth__Audience=rlapp-test", "Auth__Algorithm=ES256",
		"Auth__ClockSkewSeconds=120", "Auth__RolesClaim=groups", "Auth__QueuesClaim=sections"))
	for name, tt := range map[string]struct {
		algorithm jose.SignatureAlgorithm
		changes   map[string]any
		queue     string
		want      int
	}{
		"a receptionist":          {want: 200},
		"another role":            {changes: map[string]any{"groups": "display"}, want: 403},
		"a role of somebody else": {changes: map[string]any{"groups": "juggler"}, want: 403},
		"roles in another claim":  {changes: map[string]any{"groups": nil, "roles": "admin"}, want: 403},
		"another queue":           {queue: "queue-2", want: 403},
		"queues in another claim": {changes: map[string]any{"queues": "queue-2"}, queue: "queue-2", want: 403},
		"another audience":        {changes: map[string]any{"aud": "billing"}, want: 401},
		"another issuer":          {changes: map[string]any{"iss": "https://elsewhere.example"}, want: 401},
		"another algorithm":       {algorithm: jose.RS256, want: 401},
		"late within the skew":    {changes: map[string]any{"exp": in(-time.Minute)}, want: 200},
		"late beyond the skew":    {changes: map[string]any{"exp": in(-3 * time.Minute)}, want: 401},
		"early within the skew":   {changes: map[string]any{"nbf": in(time.Minute)}, want: 200},
		"early beyond the skew":   {changes: map[string]any{"nbf": in(3 * time.Minute)}, want: 401},
		"another name":            {changes: map[string]any{"preferred_username": "berta", "groups": "reception"}, want: 200},
		"null for the queues":     {changes: map[string]any{"sections": nil}, want: 401},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.algorithm == "" {
				tt.algorithm = jose.ES256
			}
			if tt.queue == "" {
				tt.queue = "queue-1"
			}
			token := issuer.Sign(tt.algorithm, clinicClaims(issuer, tt.changes))
			got := r.bearer(token, http.MethodPost, checkInPath, patientOf(tt.queue, strings.ReplaceAll(name, " ", "-")))
			if got.status != tt.want {
				t.Errorf("status %d, want %d: %s", got.status, tt.want, got.body)
			}
		})
	}
	if got := r.as("X-Api-Key", "rlapp_guess", http.MethodPost, checkInPath, patientOf("queue-1", "p")); got.status != http.StatusUnauthorized {
		t.Errorf("a key where there are none: %d", got.status)
	}
	events := r.bearer(issuer.Sign(jose.ES256, clinicClaims(issuer, nil)), http.MethodGet, "/api/events/queue-1", "").body
	for _, actor := range []string{`"actor":"anna"`, `"actor":"berta"`} {
		if !strings.Contains(events, actor) {
			t.Errorf("the events lack %s: %s", actor, events)
		}
	}
}

// An issuer that is away when the API starts, or when it has new keys, costs its bearers
// time and no 401.
func TestAnIssuerThatIsAway(t *testing.T) {
	issuer := oidctest.New(t)
	issuer.SetAway(true)
	r := start(t, server.RoleAll, load(t, "Auth__Issuer="+issuer.URL, "Auth__Audience=rlapp-test", "Auth__KeySetUrl="+issuer.KeySetURL(),
		"Auth__RolesClaim=groups"))
	sign := func() string { return issuer.Sign(jose.RS256, clinicClaims(issuer, nil)) }
	patient := 0
	checkIn := func(token string) answer {
		t.Helper()
		patient++
		return r.bearer(token, http.MethodPost, checkInPath, patientOf("queue-1", fmt.Sprint("p-", patient)))
	}
	wantAway := func(token string) {
		t.Helper()
		got := checkIn(token)
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("status %d, want 503 with Retry-After: %v %s", got.status, got.header, got.body)
		}
	}
	wantIn := func(token string) {
		t.Helper()
		var got answer
		// Who asks at the very end of a fetch that failed learns that it did.
		waitFor(t, func() bool { got = checkIn(token); return got.status != http.StatusServiceUnavailable })
		if got.status != http.StatusOK {
			t.Errorf("status %d, want 200: %s", got.status, got.body)
		}
	}
	old := sign()
	wantAway(old)
	issuer.SetAway(false)
	wantIn(old)
	issuer.SetAway(true)
	issuer.Rotate()
	wantIn(old)
	wantAway(sign())
	issuer.SetAway(false)
	wantIn(sign())
}

// A key made by command is asked for, with its roles and queues, until it is revoked.
func TestHoldersOfKeys(t *testing.T) {
	c := load(t, "Auth__ApiKeys=true", "Api__MaxListeners=1")
	r := start(t, server.RoleAll, c)
	create := func(name string, roles, queues []string) string {
		t.Helper()
		key, err := server.CreateKey(t.Context(), c, name, roles, queues, postgres.Operator{Actor: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	desk := create("desk-1", []string{"reception", "display"}, []string{"queue-1"})
	operator, revoked := create("ada", []string{"operator"}, nil), create("kiosk-0", []string{"reception"}, nil)
	if err := server.RevokeKey(t.Context(), c, "kiosk-0", postgres.Operator{Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key, queue string
		want       int
	}{
		"its queue": {desk, "queue-1", 200}, "another queue": {desk, "queue-2", 403}, "another role": {operator, "queue-1", 403},
		"a guess": {"rlapp_guess", "queue-1", 401}, "revoked": {revoked, "queue-1", 401}, "none": {"", "queue-1", 401},
	} {
		got := r.holder(tt.key, http.MethodPost, checkInPath, patientOf(tt.queue, "p"))
		if got.status != tt.want {
			t.Errorf("%s: status %d, want %d: %s", name, got.status, tt.want, got.body)
		}
	}
	if got := r.bearer("x", http.MethodPost, checkInPath, patientOf("queue-1", "p")); got.status != http.StatusUnauthorized {
		t.Errorf("a token where there are none: %d", got.status)
	}
	events := r.holder(operator, http.MethodGet, "/api/events/queue-1", "")
	if !strings.Contains(events.body, `"actor":"desk-1"`) || events.header.Get("X-RateLimit-Limit") != "1200" {
		t.Errorf("an operator gets %v: %s", events.header, events.body)
	}
	waitFor(t, func() bool {
		return r.holder(desk, http.MethodGet, "/api/v1/waiting-room/queue-1/board", "").status == http.StatusOK
	})
	for _, want := range []int{http.StatusOK, http.StatusServiceUnavailable} { // the one listener, and another
		stream, err := http.DefaultClient.Do(r.request("X-Api-Key", desk, http.MethodGet, "/api/v1/waiting-room/queue-1/stream", ""))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = stream.Body.Close() }()
		if stream.StatusCode != want {
			t.Errorf("a listener gets %d, want %d", stream.StatusCode, want)
		}
	}
}

// Requests are bounded where that is set; by default only where callers are asked.
func TestRequestsOfACallerAreBounded(t *testing.T) {
	c := load(t, "Auth__ApiKeys=true", "Api__RequestsPerMinute=3")
	r := start(t, server.RoleAll, c)
	key, err := server.CreateKey(t.Context(), c, "ada", []string{"operator"}, nil, postgres.Operator{Actor: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	got := answer{}
	for range 7 { // a minute may end in between
		if got = r.holder(key, http.MethodGet, "/api/outbox/pending", ""); got.status != http.StatusOK {
			break
		}
	}
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("status %d, want 429 with Retry-After: %v %s", got.status, got.header, got.body)
	}
	if status, _ := r.get("/health/ready"); status != http.StatusOK {
		t.Errorf("health: %d", status)
	}
	open := start(t, server.RoleAll, load(t)).as("X-Api-Key", "", http.MethodGet, "/api/outbox/pending", "")
	if open.status != http.StatusOK || open.header.Get("X-RateLimit-Limit") != "" {
		t.Errorf("where nobody is asked: %d %v", open.status, open.header)
	}
}
