package outbox

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rlapp/rlapp/schema"
)

func TestAChunkComesBack(t *testing.T) {
	now := time.Date(2026, 2, 19, 10, 0, 0, 123456789, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		var rows []*row
		var want []map[string]string
		for range rapid.IntRange(0, 5).Draw(t, "events") {
			headers := rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(t, "headers")
			metadata, err := json.Marshal(headers)
			if err != nil {
				t.Fatal(err)
			}
			r := &row{
				EventID: rapid.String().Draw(t, "id"), EventName: rapid.String().Draw(t, "name"), AggregateID: rapid.String().Draw(t, "queue"),
				Metadata: metadata, Payload: rapid.SliceOf(rapid.Byte()).Draw(t, "payload"),
			}
			rows = append(rows, r)
			expected := map[string]string{}
			if err := json.Unmarshal(metadata, &expected); err != nil {
				t.Fatal(err)
			}
			expected[schema.HeaderEventName], expected[schema.HeaderAggregateID] = r.EventName, r.AggregateID
			expected[schema.HeaderPublishedAt] = "2026-02-19T10:00:00.123456789Z"
			want = append(want, expected)
		}
		events, err := decodeChunk(encodeChunk(rows, now))
		if err != nil || len(events) != len(rows) {
			t.Fatalf("%d events of %d, error %v", len(events), len(rows), err)
		}
		for i, e := range events {
			if diff := cmp.Diff(want[i], map[string]string(e.Metadata)); diff != "" || e.UUID != rows[i].EventID || string(e.Payload) != string(rows[i].Payload) {
				t.Errorf("event %d differs: %v %s", i, e, diff)
			}
		}
	})
}

func TestWhatIsNoChunkIsAnError(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chunk := encodeChunk([]*row{{EventID: "id", EventName: "name", AggregateID: "queue", Metadata: []byte("{}"), Payload: []byte("{}")}}, time.Now())
		cut := rapid.IntRange(0, len(chunk)-1).Draw(t, "cut")
		events, err := decodeChunk(chunk[:cut])
		if err == nil && len(events) > 0 {
			t.Errorf("a chunk cut at %d of %d bytes has %d events", cut, len(chunk), len(events))
		}
	})
	if _, err := decodeChunk(nil); err == nil {
		t.Error("nothing was a chunk")
	}
}

func TestARowsHeadersMayBeAnything(t *testing.T) {
	for _, metadata := range []string{"", "null", "[]", `"text"`, `{"a": 1}`} {
		events, err := decodeChunk(encodeChunk([]*row{{EventID: "id", EventName: "name", AggregateID: "queue", Metadata: []byte(metadata)}}, time.Now()))
		if err != nil || len(events) != 1 || events[0].Metadata.Get(schema.HeaderEventName) != "name" {
			t.Errorf("headers %q: %v, %v", metadata, events, err)
		}
	}
}

func TestMultirange(t *testing.T) {
	rows := func(ids ...int64) []*row {
		var all []*row
		for _, id := range ids {
			all = append(all, &row{ID: id})
		}
		return all
	}
	for want, chunks := range map[string][][]*row{
		"{}":                   {nil, {}},
		"{[1,2)}":              {rows(1)},
		"{[1,4),[7,8),[9,11)}": {rows(1, 2, 3, 7, 9, 10)},
		"{[5,6),[6,8)}":        {rows(5), rows(6, 7)},
		"{[-2,0),[1000,1001)}": {nil, rows(-2, -1, 1000)},
		"{[1,2),[3,4),[5,6)}":  {rows(1, 3, 5)},
	} {
		if got := multirange(chunks); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// BenchmarkChunk packs and unpacks 1,000 events.
func BenchmarkChunk(b *testing.B) {
	headers, err := json.Marshal(schema.Headers("PatientCheckedIn", schema.Metadata{
		AggregateID: "queue-1", Version: 17, OccurredAt: time.Now(), CorrelationID: "0199ff00-aaaa-bbbb-cccc-000000000001",
		CausationID: "0199ff00-aaaa-bbbb-cccc-000000000002", SchemaVersion: 1,
	}))
	if err != nil {
		b.Fatal(err)
	}
	rows := make([]*row, 1000)
	for i := range rows {
		rows[i] = &row{EventID: "0199ff00-aaaa-bbbb-cccc-000000000003", EventName: "PatientCheckedIn", AggregateID: "queue-1", Metadata: headers, Payload: make([]byte, 300)}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeChunk(encodeChunk(rows, time.Now())); err != nil {
			b.Fatal(err)
		}
	}
}
