package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/waitingroom"
)

func TestMain(m *testing.M) { postgrestest.Wrap(m).Run() }

// checked is a system in which two patients of a queue are checked in and all is well.
func checked(t *testing.T) (*system, *workload) {
	t.Helper()
	pool, err := postgres.Open(t.Context(), postgrestest.Migrated(t), postgres.PoolConfig{MaxConnections: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s, w := &system{pool: pool, recorder: &recorder{}}, &workload{prefix: "x-"}
	events := []waitingroom.Event{waitingroom.WaitingQueueCreated{QueueID: "x-0", QueueName: "x-0", MaxCapacity: 9}}
	for i := range 2 {
		patient := fmt.Sprintf("p%d", i)
		events = append(events, waitingroom.PatientCheckedIn{
			QueueID: "x-0", PatientID: patient, PatientName: "Perpetua Testname", Priority: "Low", ConsultationType: "X-ray", QueuePosition: i + 1, CheckInTime: time.Now(),
		})
		w.requests = append(w.requests, &request{Queue: "x-0", Patient: patient, outcome: acknowledged, status: http.StatusOK})
	}
	store := postgres.NewEventStore(pool, postgres.EventStoreConfig{})
	if _, err := store.Append(t.Context(), waitingroom.Change{QueueID: "x-0", Events: events, Cause: waitingroom.Cause{OccurredAt: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	views := readmodel.NewStore(pool)
	stored, err := views.EventsAfter(t.Context(), "x-0", 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := views.Apply(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	for _, e := range stored[1:] {
		s.recorder.deliveries = append(s.recorder.deliveries, delivery{EventID: e.Metadata.EventID, Queue: "x-0", Version: e.Metadata.Version})
	}
	if err := s.exec(t.Context(), "UPDATE waiting_room_outbox SET published = true"); err != nil {
		t.Fatal(err)
	}
	return s, w
}

func TestTheChecksFindWhatIsWrong(t *testing.T) {
	sql := func(statement string) func(context.Context, *system, *workload) error {
		return func(ctx context.Context, s *system, _ *workload) error { return s.exec(ctx, statement) }
	}
	for name, tt := range map[string]struct {
		wrong func(context.Context, *system, *workload) error
		want  counts
	}{
		"nothing":                {sql("SELECT"), counts{}},
		"an event is gone":       {sql("DELETE FROM waiting_room_events WHERE version = 3"), counts{Lost: 1, Phantom: 1, Doubled: 1}},
		"a row is gone":          {sql("DELETE FROM waiting_patients_view WHERE patient_id = 'p1'"), counts{Lost: 1}},
		"a turn is gone":         {sql("DELETE FROM next_turn_view WHERE patient_id = 'p1'"), counts{Lost: 1}},
		"nobody acknowledged it": {func(_ context.Context, _ *system, w *workload) error { w.requests[1].outcome = rejected; return nil }, counts{Phantom: 1}},
		"a row too many":         {sql("UPDATE waiting_patients_view SET patient_id = 'p9' WHERE patient_id = 'p1'"), counts{Lost: 1, Phantom: 1}},
		"a step is gone":         {sql("DELETE FROM patient_journey_view WHERE patient_id = 'p1'"), counts{Lost: 1}},
		"a step too many":        {sql("INSERT INTO patient_journey_view SELECT queue_id, patient_id, version + 10, event_name, status, place, detail, occurred_at FROM patient_journey_view LIMIT 1"), counts{Doubled: 1}},
		"counted twice":          {sql("UPDATE waiting_queue_view SET total_patients_waiting = 3"), counts{Doubled: 1}},
		"out of order":           {sql("UPDATE waiting_patients_view SET queue_position = 3 - queue_position"), counts{OutOfOrder: 2}},
		"poisoned":               {sql("INSERT INTO poison_messages (message_id, handler, topic, aggregate_id, reason, payload, metadata) VALUES ('m', 'h', 't', 'x-0', 'r', '', '{}')"), counts{Stuck: 1}},
		"parked":                 {sql("UPDATE waiting_room_outbox SET published = false, parked_at = now() WHERE id = (SELECT max(id) FROM waiting_room_outbox)"), counts{Stuck: 1}},
		"no answer": {func(_ context.Context, _ *system, w *workload) error {
			w.requests[1].outcome = indeterminate
			return nil
		}, counts{Phantom: 1, Stuck: 1}},
		"delivered twice": {func(_ context.Context, s *system, _ *workload) error {
			s.recorder.deliveries = append(s.recorder.deliveries, s.recorder.deliveries[0])
			return nil
		}, counts{Duplicates: 1}},
		"delivered out of order": {func(_ context.Context, s *system, _ *workload) error {
			d := s.recorder.deliveries
			d[0], d[1] = d[1], d[0]
			return nil
		}, counts{OutOfOrder: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s, w := checked(t)
			if n, err := s.pending(t.Context(), w, span{0, math.MaxInt64}); err != nil || n != 0 {
				t.Fatalf("%d are pending, error %v", n, err)
			}
			if err := tt.wrong(t.Context(), s, w); err != nil {
				t.Fatal(err)
			}
			got, err := s.check(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			got.Acknowledged, got.Rejected = 0, 0
			if got != tt.want {
				t.Errorf("counted %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestWhatIsNotThroughIsPending(t *testing.T) {
	for name, statement := range map[string]string{
		"outbox":     "UPDATE waiting_room_outbox SET published = false",
		"projection": "UPDATE projection_queue_versions SET versions = versions - 'history'",
	} {
		t.Run(name, func(t *testing.T) {
			s, w := checked(t)
			if err := s.exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
			if n, err := s.pending(t.Context(), w, span{0, math.MaxInt64}); err != nil || n == 0 {
				t.Errorf("%d are pending, error %v", n, err)
			}
		})
	}
	s, w := checked(t)
	s.recorder.deliveries = s.recorder.deliveries[:1]
	if n, err := s.pending(t.Context(), w, span{0, math.MaxInt64}); err != nil || n != 1 {
		t.Errorf("with an event that the plugin has not got %d are pending, error %v", n, err)
	}
	last, err := s.committed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, earlier := range []span{{0, last - 1}, {last, math.MaxInt64}} {
		if n, err := s.pending(t.Context(), w, earlier); err != nil || n != 0 {
			t.Errorf("of the events %v %d are pending, error %v", earlier, n, err)
		}
	}
}
