package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// with returns the check-in with one field replaced by a raw JSON value.
func with(field, value string) string {
	fields := map[string]string{
		"queueId": `"queue-1"`, "patientId": `"patient-1"`, "patientName": `"John Doe"`, "priority": `"HIGH"`, "consultationType": `"Cardiology"`,
	}
	fields[field] = value
	var parts []string
	for name, v := range fields {
		if v != "" {
			parts = append(parts, `"`+name+`":`+v)
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func quoted(n int) string { return `"` + strings.Repeat("x", n) + `"` }

func TestHostileBodiesAreRefused(t *testing.T) {
	f := newFixture(t)
	const jsonType = "application/json"
	for name, tt := range map[string]struct {
		contentType, body string
		status            int
		field             string
	}{
		"empty":                  {jsonType, ``, 400, ""},
		"null":                   {jsonType, `null`, 422, "body"},
		"array":                  {jsonType, `[]`, 422, "body"},
		"number":                 {jsonType, `7`, 422, "body"},
		"truncated":              {jsonType, johnDoe[:40], 400, "body"},
		"trailing":               {jsonType, johnDoe + "x", 400, "body"},
		"deep nesting":           {jsonType, strings.Repeat("[", 20_000), 400, ""},
		"unknown field":          {jsonType, with("surprise", `1`), 422, "surprise"},
		"field in other letters": {jsonType, with("QueueID", `"queue-2"`), 422, "QueueID"},
		"field with a NUL":       {jsonType, with(`sur\u0000prise`, `1`), 400, ""},
		"queueId missing":        {jsonType, with("queueId", ``), 422, "queueId"},
		"queueId null":           {jsonType, with("queueId", `null`), 422, "queueId"},
		"queueId number":         {jsonType, with("queueId", `7`), 422, "queueId"},
		"queueId empty":          {jsonType, with("queueId", `""`), 422, "queueId"},
		"queueId blank":          {jsonType, with("queueId", `"  "`), 422, "queueId"},
		"queueId long":           {jsonType, with("queueId", quoted(129)), 422, "queueId"},
		"queueId NUL":            {jsonType, with("queueId", `"a\u0000b"`), 422, "queueId"},
		"patientId long":         {jsonType, with("patientId", quoted(129)), 422, "patientId"},
		"patientName NUL":        {jsonType, with("patientName", `"John\u0000"`), 422, "patientName"},
		"patientName missing":    {jsonType, with("patientName", ``), 422, "patientName"},
		"patientName long":       {jsonType, with("patientName", quoted(201)), 422, "patientName"},
		"priority unknown":       {jsonType, with("priority", `"asap"`), 422, "priority"},
		"consultationType short": {jsonType, with("consultationType", `"x"`), 422, "consultationType"},
		"consultationType long":  {jsonType, with("consultationType", quoted(101)), 422, "consultationType"},
		"notes long":             {jsonType, with("notes", quoted(1001)), 422, "notes"},
		"age negative":           {jsonType, with("age", `-1`), 422, "age"},
		"age over 150":           {jsonType, with("age", `151`), 422, "age"},
		"age text":               {jsonType, with("age", `"old"`), 422, "age"},
		"age fraction":           {jsonType, with("age", `30.5`), 422, "age"},
		"age 1e400":              {jsonType, with("age", `1e400`), 400, "body"},
		"age 1e2":                {jsonType, with("age", `1e2`), 422, "body"},
		"isPregnant text":        {jsonType, with("isPregnant", `"yes"`), 422, "isPregnant"},
		"actor NUL":              {jsonType, with("actor", `"\u0000"`), 422, "actor"},
		"invalid UTF-8":          {jsonType, with("patientName", "\"\xff\xfe\""), 400, ""},
		"over 64 KiB":            {jsonType, with("notes", quoted(65_536)), 413, ""},
		"no content type":        {"", johnDoe, 415, ""},
		"form":                   {"application/x-www-form-urlencoded", johnDoe, 415, ""},
		"XML":                    {"application/xml", "<a/>", 415, ""},
		"another charset":        {"application/json; charset=latin-1", johnDoe, 415, ""},
		"broken content type":    {"application/json; charset", johnDoe, 415, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := f.do(http.MethodPost, "/api/waiting-room/check-in", tt.contentType, tt.body)
			wantProblem(t, got, tt.status, tt.field)
		})
	}
	wantNothingStored(t, f)
}

func TestHostileParametersAreRefused(t *testing.T) {
	f := newFixture(t)
	for path, want := range map[string]struct {
		status int
		field  string
	}{
		"/api/events/a%00b":                                      {400, ""},
		"/api/events/a%ffb":                                      {400, ""},
		"/api/events/" + strings.Repeat("q", 129):                {422, "aggregateId"},
		"/api/events/unknown":                                    {404, ""},
		"/api/events/..%2f..%2fetc":                              {404, ""},
		"/api/events/q?limit=-1":                                 {422, "limit"},
		"/api/events/q?limit=0":                                  {422, "limit"},
		"/api/events/q?limit=1e400":                              {422, "limit"},
		"/api/events/q?limit=1001":                               {422, "limit"},
		"/api/events/q?afterVersion=-1":                          {422, "afterVersion"},
		"/api/events/q?afterVersion=9223372036854775808":         {422, "afterVersion"},
		"/api/outbox/pending?limit=x":                            {422, "limit"},
		"/api/outbox/pending?after=-1":                           {422, "after"},
		"/api/poison/groups?after=x":                             {422, "after"},
		"/api/poison/groups?after=0.0.x":                         {422, "after"},
		"/api/poison/groups?after=1.9223372036854775808.x":       {422, "after"},
		"/api/retention?before=-1":                               {422, "before"},
		"/api/waiting-room/monitor?limit=501":                    {422, "limit"},
		"/api/waiting-room/monitor?after=%00":                    {422, "after"},
		"/api/v1/waiting-room/unknown/monitor":                   {404, ""},
		"/api/v1/waiting-room/unknown/queue-state":               {404, ""},
		"/api/v1/waiting-room/unknown/next-turn":                 {404, ""},
		"/api/v1/waiting-room/unknown/recent-history":            {404, ""},
		"/api/v1/waiting-room/q/recent-history?limit=-5":         {422, "limit"},
		"/api/metrics/lag?from=yesterday":                        {422, "from"},
		"/api/metrics/lag?to=2026-13-01":                         {422, "to"},
		"/api/metrics/lag?from=2026-02-20&to=2026-02-18":         {422, "from"},
		"/api/metrics/lag?to=9999-12-31":                         {422, "to"},
		"/api/metrics/lag?to=9999-12-31T23:59:59-10:00":          {422, "to"},
		"/api/metrics/lag?from=0000-01-01T00:00:00%2B23:59":      {422, "from"},
		"/api/metrics/lag?eventName=%00":                         {422, "eventName"},
		"/api/metrics/lag?eventName=" + strings.Repeat("x", 101): {422, "eventName"},
		"/api/projections/health?x=%00":                          {422, "x"},
		"/api/projections/unknown/checkpoint":                    {404, ""},
		"/api/projections/%0d%0aSet-Cookie:x/checkpoint":         {400, ""},
		"/no/such/route":                                         {404, ""},
	} {
		t.Run(path[:min(len(path), 60)], func(t *testing.T) { wantProblem(t, f.get(path), want.status, want.field) })
	}
	t.Run("an operator's body", func(t *testing.T) {
		wantProblem(t, f.do(http.MethodPost, "/api/retention", "text/plain", "now"), 415, "")
		wantProblem(t, f.post("/api/outbox/retry", quoted(65_536)), 413, "")
	})
	t.Run("rebuild of an unknown projection", func(t *testing.T) {
		wantProblem(t, f.post("/api/projections/rebuild?projectionId=unknown", ""), 404, "")
	})
	wantNothingStored(t, f)
}

// Hostile headers are refused or ignored; none gets through to the answer or the store.
func TestHostileHeaders(t *testing.T) {
	f := newFixture(t)
	for name, tt := range map[string]struct {
		header, value string
		status        int
	}{
		"a key with blanks":       {"Idempotency-Key", "a b", 422},
		"a key that is not ASCII": {"Idempotency-Key", "schlüssel", 422},
		"a key too long":          {"Idempotency-Key", strings.Repeat("k", 256), 422},
	} {
		t.Run(name, func(t *testing.T) {
			got := f.do(http.MethodPost, "/api/waiting-room/check-in", "application/json", johnDoe, tt.header, tt.value)
			wantProblem(t, got, tt.status, "")
		})
	}
	t.Run("the id of no event", func(t *testing.T) {
		wantProblem(t, f.do(http.MethodGet, "/api/v1/waiting-room/queue-1/stream", "", "", "Last-Event-ID", "x"), 422, "Last-Event-ID")
	})
	for _, request := range []string{
		"GET /api/waiting-room/monitor HTTP/1.1\r\nHost: x\r\nX-Correlation-Id: a\r\n\tSet-Cookie: b\r\nConnection: close\r\n\r\n",
		"GET /api/events/%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /api/waiting-room/monitor\r\nX: HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /api/waiting-room/check-in HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"POST /api/waiting-room/check-in HTTP/1.1\r\nHost: x\r\nX-Bad\r: y\r\nContent-Length: 2\r\n\r\n{}",
	} {
		answer := f.raw(request)
		if strings.Contains(answer, "Set-Cookie") || !(strings.HasPrefix(answer, "HTTP/1.1 4") || strings.HasPrefix(answer, "HTTP/1.1 200")) {
			t.Errorf("%q is answered %q", request, answer)
		}
	}
	wantNothingStored(t, f)
}

// A method that a route does not take is told which ones it takes.
func TestOtherMethodsAreRefused(t *testing.T) {
	f := newFixture(t)
	for _, tt := range []struct{ method, path, allow string }{
		{http.MethodDelete, "/api/waiting-room/check-in", "POST"},
		{http.MethodPost, "/api/v1/waiting-room/a%2fb/board", "GET"},
		{http.MethodPut, "/api/retention", "GET, POST"},
		{"BREW", "/api/waiting-room/monitor", "GET"},
	} {
		got := f.do(tt.method, tt.path, "", "")
		wantProblem(t, got, http.StatusMethodNotAllowed, "")
		if allow := got.header.Get("Allow"); allow != tt.allow {
			t.Errorf("%s %s allows %q, want %q", tt.method, tt.path, allow, tt.allow)
		}
	}
	for _, method := range []string{http.MethodPut, "BREW"} {
		wantProblem(t, f.do(method, "/no/such/route", "", ""), http.StatusNotFound, "")
	}
}

// wantProblem checks that an answer is problem details that name the field, if
// any, and give nothing away.
func wantProblem(t *testing.T, got answer, status int, field string) {
	t.Helper()
	problem := got.json(t)
	if got.status != status || problem["status"] != float64(status) || got.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d as %s, want %d: %s", got.status, got.header.Get("Content-Type"), status, got.body)
	}
	for _, key := range []string{"title", "detail", "code", "correlationId"} {
		if s, _ := problem[key].(string); s == "" {
			t.Errorf("the problem has no %s: %s", key, got.body)
		}
	}
	if field != "" {
		errs, _ := problem["errors"].([]any)
		var named []string
		for _, e := range errs {
			named = append(named, e.(map[string]any)["field"].(string))
		}
		if diff := cmp.Diff([]string{field}, slices.Compact(named)); diff != "" {
			t.Errorf("fields differ (-want +got):\n%s%s", diff, got.body)
		}
	}
	for _, leak := range []string{"John", "SQLSTATE", "goroutine", "pgx", "Go struct"} {
		if strings.Contains(got.body, leak) {
			t.Errorf("the problem gives %q away: %s", leak, got.body)
		}
	}
}

func wantNothingStored(t *testing.T, f *fixture) {
	t.Helper()
	var rows int
	err := f.pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM waiting_room_events) + (SELECT count(*) FROM waiting_room_outbox)
		+ (SELECT count(*) FROM event_processing_lag) + (SELECT count(*) FROM projection_checkpoints)`).Scan(&rows)
	if err != nil || rows != 0 {
		t.Errorf("refused requests left %d rows, error %v", rows, err)
	}
}

func TestADatabaseThatIsAwayIs503(t *testing.T) {
	f := newFixtureOn(t, "postgres://nobody@127.0.0.1:1/none") // nothing listens there
	for _, request := range []func() answer{
		func() answer { return f.get("/api/waiting-room/monitor") },
		func() answer { return f.post("/api/waiting-room/check-in", johnDoe) },
	} {
		got := request()
		wantProblem(t, got, http.StatusServiceUnavailable, "")
		if got.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if got := f.get("/health"); got.status != http.StatusServiceUnavailable || got.json(t)["status"] != "Unhealthy" {
		t.Errorf("health is %v", got)
	}
	if got := f.get("/health/live"); got.status != http.StatusOK {
		t.Errorf("live is %v", got)
	}
	if strings.Contains(f.logs.String(), "John") {
		t.Error("the log names the patient")
	}
}
