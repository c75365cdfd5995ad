package main

import (
	"context"
	"errors"
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

// checked is a system in which all is well: of three patients of a queue the first one's
// visit is over, and the second one is at the desk.
func checked(t *testing.T) (*system, *workload) {
	t.Helper()
	pool, err := postgres.Open(t.Context(), postgrestest.Migrated(t), postgres.PoolConfig{MaxConnections: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s, w := &system{pool: pool, recorder: &recorder{}}, &workload{prefix: "x-"}
	take := func(command, patient string, version int64) {
		w.requests = append(w.requests, &request{Command: command, Queue: "x-0", Patient: patient, Outcome: acknowledged, Status: http.StatusOK, Version: version})
	}
	events := []waitingroom.Event{waitingroom.WaitingQueueCreated{QueueID: "x-0", QueueName: "x-0", MaxCapacity: 9}}
	for i := range 3 {
		patient := fmt.Sprintf("p%d", i)
		events = append(events, waitingroom.PatientCheckedIn{
			QueueID: "x-0", PatientID: patient, PatientName: "Perpetua Testname", Priority: "Low", ConsultationType: "X-ray", QueuePosition: i + 1, CheckInTime: time.Now(),
		})
		take(checkIn, patient, int64(len(events)))
	}
	step := func(command, patient string, event waitingroom.Event) {
		events = append(events, event)
		take(command, patient, int64(len(events)))
	}
	step(openRoom, "", waitingroom.ConsultingRoomActivated{QueueID: "x-0", ConsultingRoomID: theRoom})
	step(callToDesk, "p0", waitingroom.PatientCalledAtCashier{QueueID: "x-0", PatientID: "p0", CashierDeskID: theDesk})
	step(validate, "p0", waitingroom.PatientPaymentValidated{QueueID: "x-0", PatientID: "p0"})
	step(callToRoom, "p0", waitingroom.PatientClaimedForAttention{QueueID: "x-0", PatientID: "p0", StationID: theRoom})
	step(begin, "p0", waitingroom.PatientCalled{QueueID: "x-0", PatientID: "p0", StationID: theRoom})
	step(finish, "p0", waitingroom.PatientAttentionCompleted{QueueID: "x-0", PatientID: "p0"})
	step(callToDesk, "p1", waitingroom.PatientCalledAtCashier{QueueID: "x-0", PatientID: "p1", CashierDeskID: theDesk})
	store := postgres.NewEventStore(pool, postgres.EventStoreConfig{})
	if _, err := store.Append(t.Context(), waitingroom.Change{QueueID: "x-0", Events: events, Cause: waitingroom.Cause{OccurredAt: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	views := readmodel.NewStore(pool)
	stored, err := views.EventsAfter(t.Context(), "x-0", 0, 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := views.Apply(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	for _, e := range stored[1:4] {
		s.recorder.deliveries = append(s.recorder.deliveries, delivery{EventID: e.Metadata.EventID, Queue: "x-0", Version: e.Metadata.Version})
	}
	if err := s.exec(t.Context(), "UPDATE waiting_room_outbox SET published = true"); err != nil {
		t.Fatal(err)
	}
	return s, w
}

func TestTheChecksFindWhatIsWrong(t *testing.T) {
	type breaking = func(context.Context, *system, *workload) error
	sql := func(statement string) breaking {
		return func(ctx context.Context, s *system, _ *workload) error { return s.exec(ctx, statement) }
	}
	requests := func(change func(requests []*request)) breaking {
		return func(_ context.Context, _ *system, w *workload) error { change(w.requests); return nil }
	}
	deliveries := func(change func(d []delivery) []delivery) breaking {
		return func(_ context.Context, s *system, _ *workload) error {
			s.recorder.deliveries = change(s.recorder.deliveries)
			return nil
		}
	}
	for name, tt := range map[string]struct {
		wrong breaking
		want  counts
	}{
		"nothing": {sql("SELECT"), counts{}},
		// The views know of it.
		"an event is gone":       {sql("DELETE FROM waiting_room_events WHERE version = 4"), counts{Lost: 2, Phantom: 3, Doubled: 2}},
		"nobody acknowledged it": {requests(func(r []*request) { r[2].Outcome, r[2].Code = rejected, "already_checked_in" }), counts{Phantom: 1, Lost: 1}},
		"another version":        {requests(func(r []*request) { r[2].Version++ }), counts{Misanswered: 1}},
		"no answer":              {requests(func(r []*request) { r[2].Outcome = indeterminate }), counts{Phantom: 1, Stuck: 1}},

		"a queue is gone":      {sql("DELETE FROM waiting_queue_view"), counts{Lost: 1}},
		"counted twice":        {sql("UPDATE waiting_queue_view SET total_patients_waiting = 3"), counts{Doubled: 1}},
		"a row is gone":        {sql("DELETE FROM waiting_patients_view WHERE patient_id = 'p1'"), counts{Lost: 1}},
		"a row too many":       {sql("UPDATE waiting_patients_view SET patient_id = 'p9' WHERE patient_id = 'p1'"), counts{Lost: 1, Phantom: 1}},
		"where one stood once": {sql("UPDATE waiting_patients_view SET status = 'waiting-cashier', place = '' WHERE patient_id = 'p1'"), counts{OutOfOrder: 1}},
		"out of order":         {sql("UPDATE waiting_patients_view SET arrival = 7 - arrival"), counts{OutOfOrder: 2}},
		"a room is gone":       {sql("DELETE FROM consulting_rooms_view"), counts{Lost: 1}},
		"a turn is gone":       {sql("DELETE FROM next_turn_view WHERE patient_id = 'p1'"), counts{Lost: 1}},
		"a turn of before":     {sql("UPDATE next_turn_view SET status = 'waiting'"), counts{OutOfOrder: 1}},
		"a visit is gone":      {sql("DELETE FROM recent_history_view"), counts{Lost: 1}},
		"a visit too many":     {sql("UPDATE recent_history_view SET version = 3"), counts{Lost: 1, Phantom: 1}},
		"a step is gone":       {sql("DELETE FROM patient_journey_view WHERE version = 6"), counts{Lost: 1}},
		"a step too many": {
			sql("INSERT INTO patient_journey_view SELECT queue_id, patient_id, version + 10, event_name, status, place, detail, occurred_at FROM patient_journey_view LIMIT 1"), counts{Doubled: 1},
		},

		"poisoned":               {sql("INSERT INTO poison_messages (message_id, handler, topic, aggregate_id, reason, payload, metadata) VALUES ('m', 'h', 't', 'x-0', 'r', '', '{}')"), counts{Stuck: 1}},
		"parked":                 {sql("UPDATE waiting_room_outbox SET published = false, parked_at = now() WHERE id = (SELECT max(id) FROM waiting_room_outbox)"), counts{Stuck: 1}},
		"put off":                {sql("UPDATE waiting_room_outbox SET retry_count = 1 WHERE id = (SELECT max(id) FROM waiting_room_outbox)"), counts{Stuck: 1}},
		"delivered twice":        {deliveries(func(d []delivery) []delivery { return append(d, d[0]) }), counts{Duplicates: 1}},
		"delivered out of order": {deliveries(func(d []delivery) []delivery { return []delivery{d[1], d[0], d[2]} }), counts{OutOfOrder: 1}},
		"missed": {func(ctx context.Context, s *system, w *workload) (err error) {
			d := s.recorder.deliveries
			s.recorder.deliveries = []delivery{d[1], d[0], d[2], d[1]}
			w.missed, err = s.committed(ctx)
			return err
		}, counts{Duplicates: 1}},
		"delivered from nowhere": {deliveries(func(d []delivery) []delivery { return append(d, delivery{EventID: "x", Queue: "x-0", Version: 9}) }), counts{Phantom: 1}},
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
	s.recorder.deliveries = s.recorder.deliveries[:2]
	if n, err := s.pending(t.Context(), w, span{0, math.MaxInt64}); err != nil || n != 1 {
		t.Errorf("with an event that the plugin has not got %d are pending, error %v", n, err)
	}
	last, err := s.committed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []span{{0, 3}, {last, math.MaxInt64}} {
		if n, err := s.pending(t.Context(), w, other); err != nil || n != 0 {
			t.Errorf("of the events %v %d are pending, error %v", other, n, err)
		}
	}
}

func TestRebuildsTellWhatIsDifferent(t *testing.T) {
	s, _ := checked(t)
	none, err := s.rebuildOf(t.Context(), "history")
	if err != nil || !none.StartedAt.IsZero() {
		t.Fatalf("before any rebuild: %+v, error %v", none, err)
	}
	if err := s.exec(t.Context(), "UPDATE recent_history_view SET outcome = 'none'"); err != nil {
		t.Fatal(err)
	}
	if _, err := readmodel.NewStore(s.pool).Rebuild(t.Context(), readmodel.History, nil); err != nil {
		t.Fatal(err)
	}
	first, err := s.rebuilt(t.Context(), "history", none)
	var different *differenceError
	if !errors.As(err, &different) || different.rows != 2 {
		t.Errorf("a row that differs: %+v, error %v", first, err)
	}
	if _, err := readmodel.NewStore(s.pool).Rebuild(t.Context(), readmodel.History, nil); err != nil {
		t.Fatal(err)
	}
	second, err := s.rebuilt(t.Context(), "history", first)
	if err != nil || !second.StartedAt.After(first.StartedAt) || !second.EndedAt.After(second.StartedAt) {
		t.Errorf("the second is %+v, error %v, the first %+v", second, err, first)
	}
}
