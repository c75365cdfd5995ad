package readmodel_test

import (
	"testing"
)

// BenchmarkRollUpLag rolls up a minute with 60,000 events.
func BenchmarkRollUpLag(b *testing.B) {
	f := newFixture(b)
	if _, err := f.pool.Exec(b.Context(), `
		INSERT INTO event_processing_lag (event_id, event_name, aggregate_id, event_created_at, event_published_at,
			projection_processed_at, outbox_dispatch_duration_ms, projection_processing_duration_ms, status)
		SELECT gen_random_uuid(), 'PatientCheckedIn', 'queue-1', now(), now(), now(), random() * 10, random() * 10, 'PROCESSED'
		FROM generate_series(1, 60000)`); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := f.views.RollUpLag(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
	}
}
