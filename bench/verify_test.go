package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/readmodel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Wrap(m)) }

// written returns a database with check-ins of the real write path, projected by the
// real projections.
func written(t *testing.T, events, queues int) (*pgxpool.Pool, string) {
	t.Helper()
	url := postgrestest.Migrated(t)
	pool, err := postgres.Open(t.Context(), url, postgres.PoolConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b := &bench{pool: pool, url: url}
	path, err := b.writePath(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	do := path.send(queues)
	for event := 1; event <= events; event++ {
		if err := do(t.Context(), 0, event); err != nil {
			t.Fatal(err)
		}
	}
	if err := path.stop(); err != nil {
		t.Fatal(err)
	}
	views := readmodel.NewStore(pool)
	for n := range queues {
		recorded, err := views.EventsAfter(t.Context(), fmt.Sprintf("queue-%d", n), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := views.Apply(t.Context(), recorded); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pool.Exec(t.Context(), "UPDATE waiting_room_outbox SET published = true"); err != nil {
		t.Fatal(err)
	}
	return pool, url
}

func all() []check { return append(append([]check{}, stored...), projected...) }

func TestWhatIsRightIsVerified(t *testing.T) {
	_, url := written(t, 12, 3)
	if err := verify(t.Context(), url, acknowledged{12, 3}, false, all()...); err != nil {
		t.Error(err)
	}
}

func TestWhatIsWrongIsFound(t *testing.T) {
	for name, c := range map[string]struct{ harm, want string }{
		"a lost event":          {`DELETE FROM waiting_room_events WHERE payload->>'patientId' = 'patient-5'`, "not in the store"},
		"a lost patient":        {`DELETE FROM waiting_patients_view WHERE patient_id = 'patient-5'`, "not in the read model"},
		"a doubled event":       {`INSERT INTO waiting_room_events (aggregate_id, event_name, payload) SELECT aggregate_id, event_name, payload FROM waiting_room_events WHERE payload->>'patientId' = 'patient-5'`, "twice"},
		"a phantom patient":     {`INSERT INTO waiting_patients_view SELECT queue_id, 'nobody', patient_name, priority, consultation_type, notes, status, queue_position, check_in_time FROM waiting_patients_view WHERE patient_id = 'patient-5'`, "should not be"},
		"another order":         {`UPDATE waiting_patients_view SET queue_position = 9 WHERE patient_id = 'patient-5'`, "out of order in the read model"},
		"an order in the store": {`UPDATE waiting_room_events SET payload = jsonb_set(payload, '{queuePosition}', '9') WHERE payload->>'patientId' = 'patient-5'`, "out of order in the store"},
		"a wrong count":         {`UPDATE waiting_queue_view SET total_patients_waiting = 1 WHERE queue_id = 'queue-1'`, "count other patients"},
		"a doubled effect":      {`UPDATE waiting_queue_view SET total_patients_waiting = total_patients_waiting + 1 WHERE queue_id = 'queue-1'`, "count other patients"},
		"no next turn":          {`DELETE FROM next_turn_view WHERE patient_id = 'patient-5'`, "next turns"},
		"another arrival":       {`UPDATE waiting_patients_view SET arrival = 99 WHERE patient_id = 'patient-5'`, "out of order in the read model"},
		"no step":               {`DELETE FROM patient_journey_view WHERE patient_id = 'patient-5'`, "journeys lack"},
		"a doubled step":        {`INSERT INTO patient_journey_view SELECT queue_id, patient_id, version + 50, event_name, status, place, detail, occurred_at FROM patient_journey_view WHERE patient_id = 'patient-5'`, "nobody took"},
		"an unpublished event":  {`UPDATE waiting_room_outbox SET published = false WHERE id = 3`, "not marked published"},
		"a lag without an end":  {`UPDATE event_processing_lag SET status = 'PUBLISHED' WHERE id = 3`, "not marked processed"},
		"a poisoned event":      {`INSERT INTO poison_messages (message_id, handler, topic, reason, payload, metadata) VALUES ('m', 'h', 't', 'r', '', '{}')`, "given up"},
	} {
		t.Run(name, func(t *testing.T) {
			pool, url := written(t, 12, 3)
			if _, err := pool.Exec(context.Background(), c.harm); err != nil {
				t.Fatal(err)
			}
			err := verify(t.Context(), url, acknowledged{12, 3}, false, all()...)
			if err == nil || !strings.Contains(err.Error(), "WRONG") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want that %s", err, c.want)
			}
		})
	}
}
