package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/adapters/rabbitmq"
	"github.com/rlapp/rlapp/adapters/rabbitmq/rabbitmqtest"
	"github.com/rlapp/rlapp/handlers/catchup"
	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/schema"
	"github.com/rlapp/rlapp/waitingroom"
)

const checkIns = "plugin.desk.check-ins"

// desk is a plugin over real servers, and what it has handled.
type desk struct {
	t         *testing.T
	pool      *pgxpool.Pool
	config    rabbitmq.Config
	publisher *rabbitmq.Publisher
	marks     *plugin.Marks
	catchUp   *plugin.CatchUp
	registry  *prometheus.Registry
	now       time.Time
	patients  int

	mu    sync.Mutex
	got   []string      // patients
	holds chan struct{} // where it is not nil, handling waits until it is closed
}

// newDesk has a queue that nothing takes from, and another one that everybody's events are in.
func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, now: time.Now(), registry: prometheus.NewRegistry()}
	var err error
	if d.pool, err = postgres.Open(t.Context(), postgrestest.Migrated(t), postgres.PoolConfig{MaxConnections: 10}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.pool.Close)
	d.config = rabbitmq.Config{URL: rabbitmqtest.VirtualHost(t).String(), RedeclareInterval: time.Hour, Groups: []rabbitmq.Group{
		{Name: checkIns, BindingKeys: []string{"PatientCheckedIn.*"}}, {Name: "everything"},
	}}
	if d.publisher, err = rabbitmq.NewPublisher(slog.New(slog.DiscardHandler), d.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.publisher.Close() })
	store := postgres.NewPluginCheckpoints(d.pool)
	if err := store.Start(t.Context(), []string{checkIns}); err != nil {
		t.Fatal(err)
	}
	d.marks = plugin.NewMarks(store, slog.New(slog.DiscardHandler))
	transport := plugin.Transport{Waiting: d.publisher.Waiting, Hand: d.publisher.Hand}
	if d.catchUp, err = plugin.NewCatchUp([]plugin.Plugin{d.plugin()}, store, transport, slog.New(slog.DiscardHandler), d.registry); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) plugin() plugin.Plugin {
	return plugin.Plugin{Name: "desk", Handlers: []plugin.Handler{
		plugin.On("check-ins", func(_ context.Context, e schema.PatientCheckedIn, _ schema.Metadata) error {
			d.mu.Lock()
			holds := d.holds
			d.mu.Unlock()
			if holds != nil {
				select {
				case <-holds:
				case <-d.t.Context().Done():
				}
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			d.got = append(d.got, e.PatientID)
			return nil
		}),
	}}
}

// open lets the plugin take from its queue.
func (d *desk) open() {
	d.t.Helper()
	subscribers := func(q plugin.Queue) (message.Subscriber, error) {
		own := d.config
		own.ConsumerGroup, own.BindingKeys, own.RedeliveryDelay = q.Handler, q.BindingKeys, time.Millisecond
		return rabbitmq.NewSubscriber(slog.New(slog.DiscardHandler), own)
	}
	runRouter(d.t, []plugin.Plugin{d.plugin()}, subscribers, postgres.NewPoisonStore(d.pool), plugin.Config{Marks: d.marks})
}

// checkIn stores the check-ins of the next patients and has the relay's work done.
func (d *desk) checkIn(patients int) {
	d.t.Helper()
	for range patients {
		d.patients++
		queue := fmt.Sprintf("queue-%d", d.patients)
		events := []waitingroom.Event{
			waitingroom.WaitingQueueCreated{QueueID: queue, QueueName: queue, MaxCapacity: 9},
			waitingroom.PatientCheckedIn{QueueID: queue, PatientID: fmt.Sprint(d.patients), PatientName: "John Doe", Priority: "High", CheckInTime: d.now},
		}
		cause := waitingroom.Cause{OccurredAt: d.now, CorrelationID: "c-1", Actor: "a"}
		if _, err := postgres.NewEventStore(d.pool, postgres.EventStoreConfig{}).Append(d.t.Context(),
			waitingroom.Change{QueueID: queue, Events: events, Cause: cause}); err != nil {
			d.t.Fatal(err)
		}
	}
	rows, err := d.pool.Query(d.t.Context(), `UPDATE waiting_room_outbox SET published = true WHERE NOT published RETURNING event_id::text, payload, metadata`)
	if err != nil {
		d.t.Fatal(err)
	}
	messages, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*message.Message, error) {
		m := message.NewMessage("", nil)
		var payload []byte
		err := r.Scan(&m.UUID, &payload, &m.Metadata)
		m.Payload = payload
		return m, err
	})
	if err := errors.Join(err, d.publisher.Publish(schema.Topic, messages...)); err != nil {
		d.t.Fatal(err)
	}
}

// onBroker does something to the plugin's queue.
func (d *desk) onBroker(do func(channel *amqp.Channel, queue string) error) {
	d.t.Helper()
	conn, err := amqp.Dial(d.config.URL)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err == nil {
		err = do(channel, rabbitmq.QueueName(schema.Topic, checkIns))
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// look lets some time pass and looks for what was missed.
func (d *desk) look(after time.Duration) {
	d.t.Helper()
	if err := d.marks.Flush(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	d.now = d.now.Add(after)
	d.catchUp.At(d.now)
	if err := d.catchUp.Once(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// settle looks at everything that is stored.
func (d *desk) settle() {
	d.t.Helper()
	d.look(0)
	d.look(catchup.SettledAfter)
}

// wants waits until so many patients were handled, and checks who. They are marked then.
func (d *desk) wants(patients ...string) {
	d.t.Helper()
	var got []string
	eventually(d.t, func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if got = slices.Clone(d.got); len(got) < len(patients) {
			return fmt.Errorf("handled: %v", got)
		}
		return nil
	})
	if diff := cmp.Diff(patients, got); diff != "" {
		d.t.Fatalf("patients (-want +got):\n%s", diff)
	}
	d.marked(patients)
}

// marked waits until the plugin is marked done with patients, a moment after it was.
func (d *desk) marked(patients []string) {
	d.t.Helper()
	eventually(d.t, func() error {
		var left int
		err := errors.Join(d.marks.Flush(d.t.Context()), d.pool.QueryRow(d.t.Context(), `
			SELECT count(*) FROM waiting_room_events e, plugin_checkpoints c
			WHERE payload ->> 'patientId' = ANY($1) AND position > checked_position
			AND NOT EXISTS (SELECT FROM plugin_marks m WHERE e.position = ANY(m.positions))`, patients).Scan(&left))
		if err == nil && left > 0 {
			err = fmt.Errorf("%d events are not marked", left)
		}
		return err
	})
}

// waits waits until so many messages are in the queue, and not at hand.
func (d *desk) waits(messages int) {
	d.t.Helper()
	eventually(d.t, func() error {
		n, err := d.publisher.Waiting(d.t.Context(), checkIns)
		if err != nil || n != messages {
			return errors.Join(err, fmt.Errorf("%d messages wait", n))
		}
		return nil
	})
}

// hold has the handler wait from the next event on, until release.
func (d *desk) hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holds = make(chan struct{})
}

func (d *desk) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.holds)
	d.holds = nil
}

// handles waits until so many events were handled, and are marked.
func (d *desk) handles(want int) {
	d.t.Helper()
	var all []string
	eventually(d.t, func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if all = slices.Clone(d.got); len(all) != want {
			return fmt.Errorf("%d events were handled, want %d", len(all), want)
		}
		return nil
	})
	d.marked(all)
}

func (d *desk) sent(want int) {
	d.t.Helper()
	text := fmt.Sprintf(`
# HELP plugin_catch_up_events_total Events that plugins were sent from the event store, since they were not done with them.
# TYPE plugin_catch_up_events_total counter
plugin_catch_up_events_total{handler="plugin.desk.check-ins"} %d
`, want)
	if err := testutil.GatherAndCompare(d.registry, strings.NewReader(text)); err != nil {
		d.t.Error(err)
	}
}
