package readmodel_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
	"github.com/rlapp/rlapp/waitingroom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Wrap(m)) }

var tenOClock = time.Date(2026, 2, 19, 10, 0, 0, 0, time.UTC)

// fixture is a migrated database with its store of views and of events.
type fixture struct {
	pool   *pgxpool.Pool
	views  *readmodel.Store
	events *postgres.EventStore
}

func newFixture(t testing.TB) fixture {
	t.Helper()
	connString := postgrestest.Migrated(t)
	pool, err := postgres.Open(t.Context(), connString, postgres.PoolConfig{MaxConnections: 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return fixture{pool: pool, views: readmodel.NewStore(pool), events: postgres.NewEventStore(pool, postgres.EventStoreConfig{})}
}

// store appends events to a queue and returns them as they are stored.
func (f fixture) store(t testing.TB, queueID string, events ...waitingroom.Event) []schema.Recorded {
	t.Helper()
	queue := waitingroom.NewQueue(queueID)
	if err := f.events.Load(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	cause := waitingroom.Cause{OccurredAt: tenOClock, CorrelationID: "c", Actor: "a"}
	if _, err := f.events.Append(t.Context(), waitingroom.Change{QueueID: queueID, Expected: queue.Version(), Events: events, Cause: cause}); err != nil {
		t.Fatal(err)
	}
	recorded, err := f.views.EventsAfter(t.Context(), queueID, queue.Version(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range recorded {
		recorded[i].PublishedAt = tenOClock.Add(time.Second)
	}
	return recorded
}

// apply brings every projection up to the events, one after another.
func (f fixture) apply(t testing.TB, events ...schema.Recorded) {
	t.Helper()
	for _, e := range events {
		if _, err := f.views.Apply(t.Context(), []schema.Recorded{e}); err != nil {
			t.Fatal(err)
		}
	}
}

// applyTo applies an event to one projection and returns how many were new to it.
func (f fixture) applyTo(t testing.TB, p readmodel.Projection, e schema.Recorded) (int, error) {
	t.Helper()
	applied, err := f.views.Apply(t.Context(), []schema.Recorded{e}, p)
	if err != nil {
		return 0, err
	}
	return len(applied[0].Events), nil
}

// views lists every view with the columns that say when, and for which queue.
var views = map[string]string{
	"waiting_queue_view": "projected_at", "waiting_queue_members": "", "waiting_patients_view": "projected_at",
	"next_turn_view": "projected_at", "recent_history_view": "", "consulting_rooms_view": "", "waiting_queue_waits": "",
	"patient_journey_view": "",
}

// dump returns all rows of all views, but for when they were projected.
func (f fixture) dump(t testing.TB, where string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for table, volatile := range views {
		rows, err := f.pool.Query(t.Context(), fmt.Sprintf(
			`SELECT (to_jsonb(v) - 'queue_name' - 'queue_id' - '%s')::text FROM %s v %s ORDER BY 1`, volatile, table, where))
		if err != nil {
			t.Fatal(err)
		}
		if all[table], err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func created(queueID string) waitingroom.Event {
	return waitingroom.WaitingQueueCreated{QueueID: queueID, QueueName: queueID, MaxCapacity: 100}
}

func checkedIn(queueID, patientID, priority string, minute int) waitingroom.Event {
	return waitingroom.PatientCheckedIn{
		QueueID: queueID, PatientID: patientID, PatientName: "Name of " + patientID, Priority: priority,
		ConsultationType: "Cardiology", QueuePosition: minute, CheckInTime: tenOClock.Add(time.Duration(minute) * time.Minute),
	}
}
