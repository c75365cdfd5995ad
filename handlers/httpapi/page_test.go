package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/readmodel"
)

// fillLists puts a few rows into everything that is listed.
func (f *fixture) fillLists() {
	f.t.Helper()
	for n := range 4 {
		f.finish(fmt.Sprintf("p-%d", n))
		queueID := fmt.Sprintf("queue-%d", n+2)
		f.post("/api/waiting-room/check-in", with("queueId", fmt.Sprintf("%q", queueID)))
		f.project(queueID)
		if err := f.views.RecordAction(f.t.Context(), readmodel.Operator{Actor: "ada"}, "test", fmt.Sprint(n)); err != nil {
			f.t.Fatal(err)
		}
	}
	f.project("queue-1")
	for _, statement := range []string{
		`INSERT INTO retention_runs (archived_events) SELECT n FROM generate_series(1, 4) AS n`,
		// Groups 1 and 2 have one message each that waits, and the same time; 3 has two, and 4 none.
		`INSERT INTO poison_messages (message_id, handler, topic, event_name, reason, payload, metadata, failure_group, status)
		 SELECT 'm-' || n, 'handler', 'topic', 'PatientCheckedIn', 'reason', '', '{}', (ARRAY['1', '2', '3', '3', '4'])[n],
		        CASE n WHEN 5 THEN 'REPLAYED' ELSE 'WAITING' END
		 FROM generate_series(1, 5) AS n`,
		`INSERT INTO poison_messages (message_id, handler, topic, event_name, reason, payload, metadata, failure_group, created_at)
		 VALUES ('old', 'handler', 'topic', 'PatientCheckedIn', 'reason', '', '{}', '0', now() - interval '1 hour')`,
	} {
		if _, err := f.pool.Exec(f.t.Context(), statement); err != nil {
			f.t.Fatal(err)
		}
	}
}

// Page by page a list has what it has at once, and its last page has no cursor, also where
// it is just full.
func TestListsPageByACursor(t *testing.T) {
	f := newFixture(t)
	f.fillLists()
	for _, list := range []struct {
		path, items, next, parameter string
		// key and want are a field of the items, and what it is where that is known.
		key  string
		want []any
	}{
		{"/api/waiting-room/monitor", "queues", "next", "after", "queueId", []any{"queue-1", "queue-2", "queue-3", "queue-4", "queue-5"}},
		{"/api/v1/waiting-room/queue-1/recent-history", "visits", "nextBefore", "before", "patientId", []any{"p-3", "p-2", "p-1", "p-0"}},
		{"/api/events/queue-2", "events", "nextAfterVersion", "afterVersion", "eventName", []any{"WaitingQueueCreated", "PatientCheckedIn"}},
		{"/api/events/queue-1", "events", "nextAfterVersion", "afterVersion", "version", nil},
		{"/api/outbox", "events", "nextAfter", "after", "id", nil},
		{"/api/outbox/pending", "events", "nextAfter", "after", "id", nil},
		{"/api/poison", "messages", "nextAfter", "after", "messageId", []any{"m-1", "m-2", "m-3", "m-4", "m-5", "old"}},
		{"/api/poison/groups", "groups", "next", "after", "group", []any{"3", "2", "1", "0"}},
		{"/api/operator-actions", "actions", "nextBefore", "before", "target", []any{"3", "2", "1", "0"}},
		{"/api/retention", "runs", "nextBefore", "before", "archivedEvents", []any{4.0, 3.0, 2.0, 1.0}},
	} {
		t.Run(list.path, func(t *testing.T) {
			whole, pages := f.pages(list.path, list.items, list.next, list.parameter, list.key, 500)
			if pages != 1 || len(whole) < 2 || list.want != nil && !cmp.Equal(list.want, whole) {
				t.Fatalf("the list has %d pages with %v, want one with %v", pages, whole, list.want)
			}
			for _, limit := range []int{1, 2, len(whole) - 1, len(whole), len(whole) + 1} {
				got, pages := f.pages(list.path, list.items, list.next, list.parameter, list.key, limit)
				if diff := cmp.Diff(whole, got); diff != "" {
					t.Errorf("by %d the list differs (-at once +by pages):\n%s", limit, diff)
				}
				if want := (len(whole) + limit - 1) / limit; pages != want {
					t.Errorf("%d items by %d have %d pages, want %d", len(whole), limit, pages, want)
				}
			}
		})
	}
}

// pages reads a list to its end, and returns a field of its items and the number of pages.
func (f *fixture) pages(path, items, next, parameter, key string, limit int) (all []any, pages int) {
	f.t.Helper()
	for cursor := ""; ; {
		got := f.get(fmt.Sprintf("%s?limit=%d%s", path, limit, cursor))
		if got.status != http.StatusOK {
			f.t.Fatal(got)
		}
		answer := got.json(f.t)
		pages++
		for _, item := range answer[items].([]any) {
			all = append(all, item.(map[string]any)[key])
		}
		at, more := answer[next]
		if !more {
			return all, pages
		}
		if pages > 100 {
			f.t.Fatalf("%s does not end", path)
		}
		cursor = fmt.Sprintf("&%s=%s", parameter, url.QueryEscape(fmt.Sprint(at)))
	}
}

// How many events wait is told on every page.
func TestEveryPageTellsHowManyEventsArePending(t *testing.T) {
	f := newFixture(t)
	f.fillLists()
	first := f.get("/api/outbox/pending?limit=1").json(t)
	second := f.get(fmt.Sprintf("/api/outbox/pending?limit=1&after=%v", first["nextAfter"])).json(t)
	if want := float64(f.count("SELECT count(*) FROM waiting_room_outbox")); first["count"] != want || second["count"] != want {
		t.Errorf("%v and then %v are pending, want %v", first["count"], second["count"], want)
	}
}

// A cursor may be as large as an id can be.
func TestCursorsMayBeLarge(t *testing.T) {
	f := newFixture(t)
	f.fillLists()
	const largest = "9223372036854775807"
	for _, path := range []string{
		"/api/events/queue-1?afterVersion=" + largest, "/api/outbox?after=" + largest, "/api/outbox/pending?after=" + largest,
		"/api/poison?after=" + largest, "/api/poison/groups?after=" + largest + "." + largest + ".x",
		"/api/operator-actions?before=" + largest, "/api/retention?before=" + largest,
		"/api/v1/waiting-room/queue-1/recent-history?before=" + largest, "/api/v1/waiting-room/queue-1/journey?patientId=p-1&before=" + largest,
	} {
		if got := f.get(path); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}
