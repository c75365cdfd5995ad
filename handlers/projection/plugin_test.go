package projection_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/adapters/rabbitmq/rabbitmqtest"
	"github.com/rlapp/rlapp/handlers/projection"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
	"github.com/rlapp/rlapp/waitingroom"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(postgrestest.Wrap(runner(func() int { return rabbitmqtest.Run(m) })))
}

// runner lets one TestMain helper run another.
type runner func() int

func (r runner) Run() int { return r() }

// fixture runs the projections on a router over an in-process transport and a
// database of the test's own.
type fixture struct {
	pool      *pgxpool.Pool
	views     *readmodel.Store
	transport *gochannel.GoChannel
	registry  *prometheus.Registry
	failures  *prometheus.CounterVec
	logs      *safeBuffer
}

// safeBuffer is written by handlers and read by the test.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *safeBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func newFixture(t *testing.T) *fixture {
	t.Helper()
	connString := postgrestest.Migrated(t)
	pool, err := postgres.Open(t.Context(), connString, postgres.PoolConfig{MaxConnections: 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	f := &fixture{
		pool: pool, views: readmodel.NewStore(pool), registry: prometheus.NewRegistry(), logs: &safeBuffer{},
		transport: gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, watermill.NopLogger{}),
	}
	f.failures = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "failures"}, []string{"event_name", "handler"})
	f.run(t)
	return f
}

func (f *fixture) run(t *testing.T) {
	t.Helper()
	logger := slog.New(slog.NewJSONHandler(f.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	plugin, err := projection.Plugin(f.views, f.transport, postgres.NewPoisonStore(f.pool), logger,
		projection.Config{MaxRetries: 2, RetryInterval: time.Millisecond, Registerer: f.registry, Failures: f.failures})
	if err != nil {
		t.Fatal(err)
	}
	runRouter(t, plugin)
}

// runRouter runs a router with the plugin until the test ends.
func runRouter(t *testing.T, plugin message.RouterPlugin) {
	t.Helper()
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	router.AddPlugin(plugin)
	done := make(chan error)
	go func() { done <- router.Run(context.WithoutCancel(t.Context())) }()
	<-router.Running()
	t.Cleanup(func() {
		if err := errors.Join(router.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
}

// store appends a check-in to a new queue and returns its messages.
func (f *fixture) store(t *testing.T, queueID string) []*message.Message {
	t.Helper()
	events, err := waitingroom.Replay().Decide(waitingroom.CheckIn{
		QueueID: queueID, PatientID: "p", PatientName: "John Doe", Priority: "high", ConsultationType: "Cardiology", At: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	cause := waitingroom.Cause{OccurredAt: time.Now(), CorrelationID: "c-1", Actor: "a"}
	if _, err := postgres.NewEventStore(f.pool, postgres.EventStoreConfig{}).Append(t.Context(),
		waitingroom.Change{QueueID: queueID, Events: events, Cause: cause}); err != nil {
		t.Fatal(err)
	}
	rows, err := f.pool.Query(t.Context(), `SELECT event_id::text, payload, metadata FROM waiting_room_outbox WHERE aggregate_id = $1 ORDER BY id`, queueID)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*message.Message, error) {
		m := message.NewMessage("", nil)
		var payload []byte
		err := r.Scan(&m.UUID, &payload, &m.Metadata)
		m.Payload = payload
		m.Metadata.Set(schema.HeaderPublishedAt, time.Now().UTC().Format(time.RFC3339Nano))
		return m, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

// publish returns when every projection has acknowledged.
func (f *fixture) publish(t *testing.T, messages ...*message.Message) {
	t.Helper()
	if err := f.transport.Publish(schema.Topic, messages...); err != nil {
		t.Fatal(err)
	}
}

func TestEveryProjectionTakesEveryEvent(t *testing.T) {
	f := newFixture(t)
	messages := f.store(t, "queue-1")
	f.publish(t, messages...)
	f.publish(t, messages...) // a duplicate
	checkpoints, err := f.views.Checkpoints(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checkpoints {
		if c.EventsProcessed != 2 || c.Behind != 0 {
			t.Errorf("%s processed %d events and is %d behind", c.ProjectionID, c.EventsProcessed, c.Behind)
		}
	}
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, family := range families {
		series[family.GetName()] = len(family.GetMetric())
	}
	want := map[string]int{
		"event_processing_lag_ms": 10, "event_processing_lag_seconds": 10, "projection_processing_duration_seconds": 10,
		"projection_batch_events": 1, "projection_checkpoint_age_seconds": 5, "projection_checkpoint_position": 5,
	}
	if diff := cmp.Diff(want, series); diff != "" {
		t.Errorf("series differ (-want +got):\n%s", diff)
	}
	for _, want := range []string{`"Component":"ProjectionWorker"`, `"EventType":"PatientCheckedIn"`, `"ProcessingDurationMs":`, `"CorrelationId":"c-1"`} {
		if !strings.Contains(f.logs.String(), want) {
			t.Errorf("the log has no %s", want)
		}
	}
	if strings.Contains(f.logs.String(), "John") {
		t.Error("the log names the patient")
	}
}

type poisoned struct{ MessageID, Handler, Topic, EventName string }

func (f *fixture) poisoned(t *testing.T) []poisoned {
	t.Helper()
	rows, err := f.pool.Query(t.Context(), `SELECT message_id, handler, topic, event_name FROM poison_messages ORDER BY handler`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[poisoned])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Messages that no build could read are set aside at once, and the next event
// goes through.
func TestUnreadableMessagesArePoisoned(t *testing.T) {
	for name, spoil := range map[string]func(*message.Message){
		"broken JSON":     func(m *message.Message) { m.Payload = []byte(`{"queueId":`) },
		"unknown event":   func(m *message.Message) { m.Metadata.Set(schema.HeaderEventName, "Unheard") },
		"unknown version": func(m *message.Message) { m.Metadata.Set(schema.HeaderSchemaVersion, "99") },
		"NUL":             func(m *message.Message) { m.Metadata.Set(schema.HeaderVersion, "a\x00\xff") },
		"empty":           func(m *message.Message) { m.Payload, m.Metadata = nil, message.Metadata{} },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			bad := f.store(t, "bad")[0]
			spoil(bad)
			bad.UUID = uuid.NewString()
			f.publish(t, bad)
			var want []poisoned
			for _, id := range []string{"history", "journey", "monitor", "next-turn", "queue-state"} {
				want = append(want, poisoned{bad.UUID, "projection." + id, schema.Topic, bad.Metadata.Get(schema.HeaderEventName)})
			}
			if diff := cmp.Diff(want, f.poisoned(t)); diff != "" {
				t.Errorf("poisoned messages differ (-want +got):\n%s", diff)
			}
			f.publish(t, f.store(t, "good")...)
			if queue, err := f.views.QueueMonitor(t.Context(), "good"); err != nil || queue.TotalPatientsWaiting != 1 {
				t.Errorf("the next event: %+v, error %v", queue, err)
			}
			if !strings.Contains(f.logs.String(), `"EventType":"ProjectionError"`) {
				t.Error("the failure is not logged as a ProjectionError")
			}
		})
	}
}

// An event that one projection cannot apply is poisoned for that one alone, and
// its lag says so.
func TestAFailingProjectionIsAlone(t *testing.T) {
	f := newFixture(t)
	if _, err := f.pool.Exec(t.Context(), `ALTER TABLE next_turn_view ADD CHECK (patient_id <> 'p')`); err != nil {
		t.Fatal(err)
	}
	messages := f.store(t, "queue-1")
	f.publish(t, messages...)
	want := []poisoned{{messages[1].UUID, "projection.next-turn", schema.Topic, "PatientCheckedIn"}}
	if diff := cmp.Diff(want, f.poisoned(t)); diff != "" {
		t.Errorf("poisoned messages differ (-want +got):\n%s", diff)
	}
	failed, err := f.views.CheckpointOf(t.Context(), "next-turn")
	if err != nil || failed.GivenUp != 1 || failed.Age == 0 {
		t.Errorf("the checkpoint hides the failure: %+v, error %v", failed, err)
	}
	if _, err := f.pool.Exec(t.Context(), `ALTER TABLE next_turn_view DROP CONSTRAINT next_turn_view_patient_id_check`); err != nil {
		t.Fatal(err)
	}
	if _, err := f.views.Rebuild(t.Context(), readmodel.NextTurn, nil); err != nil {
		t.Fatal(err)
	}
	if mended, err := f.views.CheckpointOf(t.Context(), "next-turn"); err != nil || mended.GivenUp != 0 || mended.Age != 0 {
		t.Errorf("after the rebuild the checkpoint is %+v, error %v", mended, err)
	}
	var status, failedIn string
	err = f.pool.QueryRow(t.Context(), `SELECT status, failed_in FROM event_processing_lag WHERE event_id = $1`, messages[1].UUID).Scan(&status, &failedIn)
	if err != nil || status != "FAILED" || failedIn != "projection.next-turn" {
		t.Errorf("lag is %s in %s, error %v", status, failedIn, err)
	}
	if queue, err := f.views.QueueMonitor(t.Context(), "queue-1"); err != nil || queue.TotalPatientsWaiting != 1 {
		t.Errorf("the other projections: %+v, error %v", queue, err)
	}
	if n := testutil.ToFloat64(f.failures.WithLabelValues("PatientCheckedIn", "projection.next-turn")); n != 1 {
		t.Errorf("the failure is counted %v times", n)
	}
}

// A passing fault is healed by the retries: nothing is poisoned.
func TestAPassingFaultIsRetried(t *testing.T) {
	f := newFixture(t)
	// The first two tries fail, the third succeeds: a sequence counts, since it is
	// not rolled back.
	_, err := f.pool.Exec(t.Context(), `
		CREATE SEQUENCE tries;
		CREATE FUNCTION fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN IF nextval('tries') <= 2 THEN RAISE 'not yet'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER fail_twice BEFORE INSERT ON waiting_queue_view FOR EACH ROW EXECUTE FUNCTION fail_twice()`)
	if err != nil {
		t.Fatal(err)
	}
	f.publish(t, f.store(t, "queue-1")...)
	if got := f.poisoned(t); len(got) != 0 {
		t.Errorf("poisoned: %v", got)
	}
	if queue, err := f.views.QueueMonitor(t.Context(), "queue-1"); err != nil || queue.TotalPatientsWaiting != 1 {
		t.Errorf("after the fault: %+v, error %v", queue, err)
	}
}

// What is given up for the sake of others comes again until it works, however long that
// takes: it is never poison, and counted as no failure.
func TestContentionIsNeverPoison(t *testing.T) {
	for name, code := range map[string]string{
		"serialization failure": "40001", "deadlock": "40P01", "lock timeout": "55P03", "cancelled statement": "57014",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			_, err := f.pool.Exec(t.Context(), strings.ReplaceAll(`
				CREATE SEQUENCE tries;
				CREATE FUNCTION fail_long() RETURNS trigger LANGUAGE plpgsql AS $$
				BEGIN IF NEW.queue_id = 'unlucky' AND nextval('tries') <= 20 THEN RAISE 'not yet' USING ERRCODE = '$CODE'; END IF; RETURN NEW; END $$;
				CREATE TRIGGER fail_long BEFORE INSERT ON next_turn_view FOR EACH ROW EXECUTE FUNCTION fail_long()`, "$CODE", code))
			if err != nil {
				t.Fatal(err)
			}
			f.publish(t, f.store(t, "unlucky")...)
			f.publish(t, f.store(t, "lucky")...)
			if got := f.poisoned(t); len(got) != 0 {
				t.Errorf("poisoned: %v", got)
			}
			for _, queue := range []string{"unlucky", "lucky"} {
				if turn, err := f.views.NextTurnOf(t.Context(), queue); err != nil {
					t.Errorf("next turn of %s: %+v, error %v", queue, turn, err)
				}
			}
			if n := testutil.CollectAndCount(f.failures); n != 0 {
				t.Errorf("%d failures are counted", n)
			}
			var tries int
			if err := f.pool.QueryRow(t.Context(), "SELECT last_value FROM tries").Scan(&tries); err != nil || tries <= 20 {
				t.Errorf("it was tried %d times, error %v", tries, err)
			}
		})
	}
}

// Handler names are public API: a renamed handler re-consumes everything.
func TestHandlerNames(t *testing.T) {
	var names []string
	for _, p := range readmodel.Projections() {
		names = append(names, p.HandlerName())
	}
	names = append(names, projection.HandlerName)
	want := []string{"projection.monitor", "projection.queue-state", "projection.next-turn", "projection.history", "projection.journey", "projections"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names differ (-want +got):\n%s", diff)
	}
}
