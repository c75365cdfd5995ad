package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/handlers/httpapi"
)

// refused is what is sent, and the status that answers it.
type refused struct {
	value  string
	status int
}

// hostileTexts are percent-encoded. In a path they are refused with 400, in a query with
// 422, whatever the parameter is.
var hostileTexts = map[string]string{
	"NUL": "a%00b", "CRLF": "a%0d%0aSet-Cookie:b", "invalid UTF-8": "a%ff", "override": "a%e2%80%aeb", "isolate": "a%e2%81%a6b",
}

// hostileQueries are refused as the value of any parameter.
var hostileQueries = map[string]refused{
	"bad escape": {"%zz", 400}, "half an escape": {"%", 400}, "semicolon": {"a;b", 400}, "NUL and semicolon": {"%00;", 400},
}

// hostileByType are refused in a path or query, by the type that the document tells.
var hostileByType = map[string]map[string]string{
	"string":  {},
	"integer": {"text": "x", "fraction": "1.5", "1e400": "1e400", "hex": "0x10", "beyond 64 bits": "9223372036854775808", "negative": "-1", "dots": "..%2f"},
	"date-time": {
		"word": "yesterday", "no such month": "2026-13-01T00:00:00Z", "day": "2026-02-19", "the future": "9999-12-31T23:59:59-10:00",
	},
}

// hostileFields are refused in a field of a body, by its type; null means "not given"
// where the field is not needed.
var hostileFields = map[string]map[string]refused{
	"string": {
		"number": {`7`, 422}, "bool": {`true`, 422}, "array": {`[]`, 422}, "object": {`{}`, 422}, "NUL": {`"a\u0000b"`, 422}, "escape": {`"a\u001bb"`, 422},
		"override": {`"a\u202eb"`, 422}, "isolate": {`"a\u2066b"`, 422}, "invalid UTF-8": {"\"\xff\"", 400}, "lone surrogate": {`"\ud800"`, 400},
		"1e400": {`1e400`, 400}, "duplicate keys": {`{"a":1,"a":2}`, 400},
	},
	"integer": {
		"text": {`"x"`, 422}, "fraction": {`1.5`, 422}, "negative": {`-1`, 422}, "huge": {`1000000000`, 422}, "beyond 64 bits": {`1e30`, 422},
		"1e400": {`1e400`, 400}, "array": {`[]`, 422},
	},
	"boolean": {"text": {`"yes"`, 422}, "number": {`1`, 422}},
}

// hostileNames are refused where something is named that people tell apart by sight.
var hostileNames = map[string]refused{"line break": {`"a\nb"`, 422}, "invisible": {`"a\u200bb"`, 422}}

// hostileBodies are made of a body that is taken.
var hostileBodies = map[string]struct {
	of     func(whole string) string
	status int
}{
	"empty":          {func(string) string { return `` }, 400},
	"null":           {func(string) string { return `null` }, 422},
	"array":          {func(string) string { return `[]` }, 422},
	"number":         {func(string) string { return `7` }, 422},
	"text":           {func(string) string { return `"x"` }, 422},
	"truncated":      {func(whole string) string { return whole[:len(whole)-1] }, 400},
	"trailing":       {func(whole string) string { return whole + "x" }, 400},
	"two":            {func(whole string) string { return whole + whole }, 400},
	"duplicate keys": {func(whole string) string { return whole[:len(whole)-1] + "," + whole[1:] }, 400},
	"unknown field":  {func(whole string) string { return `{"surprise":1,` + whole[1:] }, 422},
	"other letters":  {func(whole string) string { return `{"` + strings.ToUpper(whole[2:3]) + whole[3:] }, 422},
	"deep array":     {func(string) string { return strings.Repeat("[", 20_000) }, 400},
	"deep object": {func(whole string) string {
		return `{"surprise":` + strings.Repeat(`{"a":`, 5_000) + "1" + strings.Repeat("}", 5_000) + "," + whole[1:]
	}, 400},
	"too long": {func(whole string) string { return whole + strings.Repeat(" ", 70_000) }, 413},
}

// Whatever a stranger sends to whatever operation gets a problem, and changes nothing.
// What is to be sent is read from the document, so an operation that is new is tried, too.
func TestHostileInputOfEveryOperation(t *testing.T) {
	var retained atomic.Int32
	f := newFixtureWith(t, httpapi.Config{Retain: func() { retained.Add(1) }})
	f.somethingOfEverything()
	before := f.contents()
	for _, o := range operations(f.document) {
		t.Run(o.method+" "+o.path, func(t *testing.T) {
			f.refusesParameters(t, o)
			if content, has := o.RequestBody.Content["application/json"]; has {
				f.refusesBodies(t, o, f.document.schema(content.Schema))
			}
			if diff := cmp.Diff(before, f.contents()); diff != "" {
				t.Errorf("what was refused changed something (-want +got):\n%s", diff)
			}
			if health := f.get("/api/projections/health"); strings.Contains(health.body, "Rebuilding") || retained.Load() != 0 {
				t.Errorf("what was refused began: %s, %d times retention", health.body, retained.Load())
			}
		})
	}
	// It was the hostile part that was refused.
	for _, o := range operations(f.document) {
		if o.OperationID == "stream" {
			continue // it does not end
		}
		got := f.do(o.method, o.target("", ""), "application/json", f.document.whole(o))
		if slices.Contains([]int{400, 413, 415, 422}, got.status) || got.status >= 500 {
			t.Errorf("%s %s is refused without anything hostile: %d %s", o.method, o.path, got.status, got.body)
		}
	}
}

// somethingOfEverything is there for every operation to change.
func (f *fixture) somethingOfEverything() {
	f.t.Helper()
	f.arrive("patient-1", "low")
	f.step("/api/medical/consulting-room/activate", "consultingRoomId", "room-2")
	f.project("queue-1")
	f.outbox()
	for _, statement := range []string{
		"UPDATE waiting_room_outbox SET id = 42 WHERE parked_at IS NOT NULL AND NOT unroutable", // the document's example
		"INSERT INTO poison_messages (id, message_id, handler, topic, reason, payload, metadata) VALUES (42, 'm', 'h', 't', 'r', '{}', '{}')",
	} {
		if _, err := f.pool.Exec(f.t.Context(), statement); err != nil {
			f.t.Fatal(err)
		}
	}
	f.post("/api/projections/rebuild?projectionId=monitor", "")
	eventually(f.t, func() bool {
		return f.get("/api/projections/monitor/rebuild").json(f.t)["status"] == "DONE"
	})
}

// contents are a checksum of every table, by its name.
func (f *fixture) contents() map[string]string {
	f.t.Helper()
	rows, err := f.pool.Query(f.t.Context(), `
		SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		f.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		f.t.Fatal(err)
	}
	contents := map[string]string{}
	for _, table := range tables {
		var sum string
		err := f.pool.QueryRow(f.t.Context(), `
			SELECT count(*) || ' rows, ' || md5(coalesce(string_agg(r::text, '|' ORDER BY r::text), '')) FROM `+table+` r`).Scan(&sum)
		if err != nil {
			f.t.Fatal(err)
		}
		contents[table] = sum
	}
	return contents
}

func (f *fixture) refusesParameters(t *testing.T, o *described) {
	t.Helper()
	send := func(what, target string, status int, field string, headers ...string) {
		t.Helper()
		f.refuses(t, what, o, target, f.document.whole(o), refused{field, status}, headers...)
	}
	for _, p := range o.Parameters {
		if p.In == "header" {
			send(p.Name+" too long", o.target("", ""), 422, p.Name, p.Name, strings.Repeat("1", p.Schema.MaxLength+1))
			continue
		}
		for what, r := range p.hostile(t) {
			field := p.Name
			if r.status != http.StatusUnprocessableEntity {
				field = ""
			}
			send(p.Name+" "+what, o.target(p.Name, r.value), r.status, field)
		}
	}
	more := o.target("", "") + "?"
	if strings.Contains(o.target("", ""), "?") {
		more = o.target("", "") + "&"
	}
	for what, text := range hostileTexts {
		send("unknown parameter "+what, more+"surprise="+text, 422, "surprise")
		send("unknown name "+what, more+text+"=1", 400, "")
	}
}

func (f *fixture) refusesBodies(t *testing.T, o *described, schema schemaOf) {
	t.Helper()
	send := func(what, body string, status int, field string) {
		t.Helper()
		f.refuses(t, what, o, o.target("", ""), body, refused{field, status})
	}
	whole := f.document.whole(o)
	for what, b := range hostileBodies {
		send(what, b.of(whole), b.status, "")
	}
	f.refuses(t, "another type", o, o.target("", ""), whole, refused{"", 415}, "Content-Type", "text/plain")
	for name, property := range schema.Properties {
		for what, r := range property.hostile(t, name, slices.Contains(schema.Required, name)) {
			field := name
			if r.status != http.StatusUnprocessableEntity {
				field = ""
			}
			send(name+" "+what, f.document.with(o, name, r.value), r.status, field)
		}
	}
	for _, name := range schema.Required {
		send(name+" missing", f.document.with(o, name, ""), 422, name)
	}
	_, hasActor := schema.Properties["actor"]
	if hasActor && o.Tags[0] != "Reception" { // who checks in may be anybody
		send("actor missing", f.document.with(o, "actor", ""), 422, "actor")
		send("actor blank", f.document.with(o, "actor", `"  "`), 422, "actor")
	}
}

// refuses sends something and wants a problem with a field and a status.
func (f *fixture) refuses(t *testing.T, what string, o *described, target, body string, want refused, headers ...string) {
	t.Helper()
	t.Run(what, func(t *testing.T) {
		own := *f
		own.t = t
		wantProblem(t, own.do(o.method, target, "application/json", body, headers...), want.status, want.value)
	})
}

// hostile is what a parameter has to refuse.
func (p parameter) hostile(t testing.TB) map[string]refused {
	t.Helper()
	all := map[string]refused{}
	kind := fmt.Sprint(p.Schema.Type)
	if p.Schema.Format == "date-time" {
		kind = p.Schema.Format
	}
	byType, known := hostileByType[kind]
	if !known {
		t.Errorf("the parameter %s is a %s: what is hostile to that?", p.Name, kind)
	}
	for what, value := range byType {
		all[what] = refused{value, 422}
	}
	for what, text := range hostileTexts {
		all[what] = refused{text, map[string]int{"path": 400, "query": 422}[p.In]}
	}
	switch {
	case p.In == "query":
		maps.Copy(all, hostileQueries)
		all["twice"] = refused{"1&" + p.Name + "=1", 422}
	case kind == "string":
		all["up"], all["further up"] = refused{"..", 404}, refused{"..%2f..%2fetc%2fpasswd", 404}
	}
	if p.In == "query" && p.Required {
		all["empty"] = refused{"", 422}
	}
	if p.Schema.MaxLength > 0 {
		all["too long"] = refused{strings.Repeat("1", p.Schema.MaxLength+1), 422}
	}
	if p.Schema.Minimum != nil {
		all["too small"] = refused{fmt.Sprint(*p.Schema.Minimum - 1), 422}
	}
	if p.Schema.Maximum != nil {
		all["too large"] = refused{fmt.Sprint(*p.Schema.Maximum + 1), 422}
	}
	if len(p.Schema.Enum) > 0 {
		all["not of the list"] = refused{"surprise", 422}
	}
	if p.Name == "actor" {
		all["invisible"], all["blank"] = refused{"a%e2%80%8bb", 422}, refused{"%20", 422}
	}
	return all
}

// hostile is what a field of a body has to refuse.
func (s schemaOf) hostile(t testing.TB, name string, required bool) map[string]refused {
	t.Helper()
	kind := fmt.Sprint(s.Type)
	if types, several := s.Type.([]any); several {
		kind = fmt.Sprint(types[0])
	}
	if hostileFields[kind] == nil {
		t.Errorf("the field %s is a %s: what is hostile to that?", name, kind)
	}
	all := maps.Clone(hostileFields[kind])
	if kind == "string" {
		length := s.MaxLength
		if length == 0 {
			length = 1000 // the domain's longest
		}
		all["too long"] = refused{quoted(length + 1), 422}
	}
	if name == "actor" || required && strings.HasSuffix(name, "Id") {
		maps.Copy(all, hostileNames)
	}
	if required {
		all["null"], all["empty"], all["blank"] = refused{`null`, 422}, refused{`""`, 422}, refused{`"  "`, 422}
	}
	if len(s.Enum) > 0 {
		all["not of the list"] = refused{`"surprise"`, 422}
	}
	return all
}

// target is an operation's path and query, with the document's examples for what it
// needs and a raw value for one parameter.
func (o *described) target(name, raw string) string {
	target, query := o.path, []string{}
	for _, p := range o.Parameters {
		value := raw
		if p.Name != name {
			example := p.Example
			if example == nil && len(p.Schema.Examples) > 0 {
				example = p.Schema.Examples[0]
			}
			value = url.QueryEscape(fmt.Sprint(example))
		}
		switch {
		case p.In == "path":
			target = strings.ReplaceAll(target, "{"+p.Name+"}", value)
		case p.In == "query" && (p.Required || p.Name == name):
			query = append(query, p.Name+"="+value)
		}
	}
	if len(query) > 0 {
		target += "?" + strings.Join(query, "&")
	}
	return target
}

// whole is a body that is taken: the document's examples. It is "" where there is none.
func (d document) whole(o *described) string { return d.with(o, "", "") }

// with is a body with the raw value of one field, which "" leaves out.
func (d document) with(o *described, name, raw string) string {
	content, has := o.RequestBody.Content["application/json"]
	if !has {
		return ""
	}
	fields := d.fields(content.Schema)
	var parts []string
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		value := raw
		if field != name {
			example, _ := json.Marshal(fields[field].Examples[0])
			value = string(example)
		}
		if value != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", field, value))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}
