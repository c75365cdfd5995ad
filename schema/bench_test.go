package schema_test

import (
	"testing"

	"github.com/rlapp/rlapp/schema"
)

// BenchmarkMessage writes and reads the message of one event.
func BenchmarkMessage(b *testing.B) {
	event := catalogue[1]
	m := schema.Metadata{
		AggregateID: event.Aggregate(), Version: 17, OccurredAt: tenOClock, CorrelationID: "0199ff00-aaaa-bbbb-cccc-000000000001",
		CausationID: "0199ff00-aaaa-bbbb-cccc-000000000002", SchemaVersion: schema.CurrentVersion(event.EventName()),
	}
	b.ReportAllocs()
	for b.Loop() {
		payload, err := schema.Encode(event)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := schema.DecodeMessage("id", schema.Headers(event.EventName(), m), payload); err != nil {
			b.Fatal(err)
		}
	}
}
