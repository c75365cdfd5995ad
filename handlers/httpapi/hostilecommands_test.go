package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// commandFields are the fields of every command, each with a value that is accepted.
var commandFields = map[string]map[string]string{
	"/api/waiting-room/check-in":              {"patientId": "p", "patientName": "John Doe", "priority": "low", "consultationType": "Cardiology"},
	"/api/reception/register":                 {"patientId": "p", "patientName": "John Doe", "priority": "low", "consultationType": "Cardiology"},
	"/api/cashier/call-next":                  {},
	"/api/cashier/validate-payment":           {"patientId": "p"},
	"/api/cashier/mark-payment-pending":       {"patientId": "p"},
	"/api/cashier/cancel-payment":             {"patientId": "p"},
	"/api/cashier/mark-absent":                {"patientId": "p"},
	"/api/medical/call-next":                  {"stationId": "room-1"},
	"/api/waiting-room/claim-next":            {"stationId": "room-1"},
	"/api/medical/consulting-room/activate":   {"consultingRoomId": "room-1"},
	"/api/medical/consulting-room/deactivate": {"consultingRoomId": "room-1"},
	"/api/medical/start-consultation":         {"patientId": "p"},
	"/api/waiting-room/call-patient":          {"patientId": "p"},
	"/api/medical/finish-consultation":        {"patientId": "p"},
	"/api/waiting-room/complete-attention":    {"patientId": "p"},
	"/api/medical/mark-absent":                {"patientId": "p"},
}

// optionalFields are those that may be left out, with how long they may be.
var optionalFields = map[string]map[string]int{
	"/api/cashier/call-next":               {"cashierDeskId": 128},
	"/api/cashier/validate-payment":        {"paymentReference": 200},
	"/api/cashier/mark-payment-pending":    {"reason": 1000},
	"/api/cashier/cancel-payment":          {"reason": 1000},
	"/api/medical/finish-consultation":     {"outcome": 200, "notes": 1000},
	"/api/waiting-room/complete-attention": {"outcome": 200, "notes": 1000},
}

// rawBody is a command with some fields replaced by raw JSON; "" leaves one out.
func rawBody(path string, replaced map[string]string) string {
	fields := map[string]string{"queueId": `"queue-1"`, "actor": `"nurse"`}
	for name, value := range commandFields[path] {
		fields[name] = fmt.Sprintf("%q", value)
	}
	for name, raw := range replaced {
		fields[name] = raw
	}
	var parts []string
	for name, raw := range fields {
		if raw != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", name, raw))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// Whatever comes as the body of a command gets a problem that says what is wrong, and
// changes nothing.
func TestHostileBodiesOfEveryCommand(t *testing.T) {
	f := newFixture(t)
	for path, fields := range commandFields {
		t.Run(path, func(t *testing.T) {
			whole := rawBody(path, nil)
			for name, tt := range map[string]struct {
				body   string
				status int
			}{
				"empty": {"", 400}, "null": {"null", 422}, "array": {"[]", 422}, "number": {"7", 422}, "text": {`"x"`, 422},
				"truncated": {whole[:len(whole)-1], 400}, "trailing": {whole + "x", 400}, "two": {whole + whole, 400},
				"duplicate keys":        {`{"queueId":"other",` + whole[1:], 400},
				"duplicate in a nested": {rawBody(path, map[string]string{"queueId": `{"a":1,"a":2}`}), 400},
				"unknown field":         {rawBody(path, map[string]string{"surprise": "1"}), 422},
				"deep nesting":          {strings.Repeat("[", 20_000), 400},
				"deep object":           {strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), 400},
				"1e400":                 {rawBody(path, map[string]string{"queueId": "1e400"}), 400},
				"invalid UTF-8":         {rawBody(path, map[string]string{"queueId": "\"\xff\""}), 400},
				"lone surrogate":        {rawBody(path, map[string]string{"queueId": `"\ud800"`}), 400},
				"too large":             {rawBody(path, map[string]string{"queueId": quoted(70_000)}), 413},
				"actor missing":         {rawBody(path, map[string]string{"actor": ""}), 422},
			} {
				if name == "actor missing" && fields["patientName"] != "" {
					continue // a check-in needs none
				}
				t.Run(name, func(t *testing.T) { wantProblem(t, f.post(path, tt.body), tt.status, "") })
			}
			required := map[string]int{"queueId": 128}
			for name := range fields {
				required[name] = 0
			}
			for name := range required {
				for what, raw := range hostileValues {
					t.Run(name+" "+what, func(t *testing.T) {
						got := f.post(path, rawBody(path, map[string]string{name: raw}))
						wantProblem(t, got, http.StatusUnprocessableEntity, name)
					})
				}
			}
			for name, length := range optionalFields[path] {
				for what, raw := range map[string]string{
					"number": "7", "NUL": `"a\u0000"`, "too long": quoted(length + 1), "override": `"a\u202eb"`, "array": "[]",
				} {
					t.Run(name+" "+what, func(t *testing.T) {
						wantProblem(t, f.post(path, rawBody(path, map[string]string{name: raw})), http.StatusUnprocessableEntity, name)
					})
				}
			}
		})
	}
	wantNothingStored(t, f)
}

// hostileValues are refused in every field that is needed.
var hostileValues = map[string]string{
	"missing": "", "null": "null", "number": "7", "bool": "true", "array": "[]", "object": "{}", "empty": `""`, "blank": `"   "`,
	"NUL": `"a\u0000b"`, "newline": `"a\nb"`, "too long": `"` + strings.Repeat("x", 2001) + `"`, "override": `"a\u202eb"`, "isolate": `"a\u2066b"`,
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
	for _, request := range []string{
		"GET /api/waiting-room/monitor HTTP/1.1\r\nHost: x\r\nX-Correlation-Id: a\r\n\tSet-Cookie: b\r\nConnection: close\r\n\r\n",
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

func TestHostileParametersOfTheViews(t *testing.T) {
	f := newFixture(t)
	f.arrive("p", "low")
	f.project("queue-1")
	for path, want := range map[string]struct {
		status int
		field  string
	}{
		"/api/v1/waiting-room/queue-1/journey":                                  {422, "patientId"},
		"/api/v1/waiting-room/queue-1/journey?patientId=":                       {422, "patientId"},
		"/api/v1/waiting-room/queue-1/journey?patientId=p&before=-1":            {422, "before"},
		"/api/v1/waiting-room/queue-1/journey?patientId=p&before=1e400":         {422, "before"},
		"/api/v1/waiting-room/queue-1/journey?patientId=%00":                    {422, "patientId"},
		"/api/v1/waiting-room/queue-1/journey?patientId=p%0d%0aX:y":             {422, "patientId"},
		"/api/v1/waiting-room/queue-1/explain?patientId=p&at=2026-13-01":        {422, "at"},
		"/api/v1/waiting-room/queue-1/explain?patientId=p&minPosition=-1":       {422, "minPosition"},
		"/api/v1/waiting-room/queue-1/recent-history?before=-1":                 {422, "before"},
		"/api/v1/waiting-room/queue-1/recent-history?limit=0":                   {422, "limit"},
		"/api/v1/waiting-room/..%2f..%2fetc%2fpasswd/board":                     {404, ""},
		"/api/v1/waiting-room/unknown/board":                                    {404, ""},
		"/api/v1/waiting-room/unknown/stream":                                   {404, ""},
		"/api/v1/waiting-room/" + strings.Repeat("q", 129) + "/board":           {422, "queueId"},
		"/api/v1/waiting-room/" + strings.Repeat("q", 129) + "/stream":          {422, "queueId"},
		"/api/v1/waiting-room/queue-1/monitor?minPosition=99999999999999999999": {422, "minPosition"},
	} {
		t.Run(path[:min(len(path), 70)], func(t *testing.T) { wantProblem(t, f.get(path), want.status, want.field) })
	}
	t.Run("last event id", func(t *testing.T) {
		wantProblem(t, f.do(http.MethodGet, "/api/v1/waiting-room/queue-1/stream", "", "", "Last-Event-ID", "x"), 422, "Last-Event-ID")
	})
}
