package plugin_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/adapters/rabbitmq/rabbitmqtest"
	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/schema"
)

type runner func() int

func (r runner) Run() int { return r() }

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(postgrestest.Wrap(runner(func() int { return rabbitmqtest.Run(m) })))
}

// poison keeps what handlers give up.
type poison struct {
	mu       sync.Mutex
	fails    int // so often
	handlers []string
	messages []*message.Message
}

func (p *poison) Publish(_ string, messages ...*message.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fails--; p.fails >= 0 {
		return errAway
	}
	for _, m := range messages {
		p.handlers = append(p.handlers, m.Metadata.Get(middleware.PoisonedHandlerKey))
	}
	p.messages = append(p.messages, messages...)
	return nil
}

func (*poison) Close() error { return nil }

// fixture is plugins on a router over the in-process transport.
type fixture struct {
	transport *gochannel.GoChannel
	given     *poison
	version   int64
}

// start runs plugins until the test ends, with two quick retries.
func start(t *testing.T, config plugin.Config, plugins ...plugin.Plugin) *fixture {
	t.Helper()
	f := &fixture{
		transport: gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, watermill.NopLogger{}), given: &poison{},
	}
	subscribers := func(plugin.Queue) (message.Subscriber, error) { return f.transport, nil }
	runRouter(t, plugins, subscribers, f.given, config)
	return f
}

// runRouter runs the handlers of plugins until the test ends, with two quick retries.
func runRouter(t *testing.T, plugins []plugin.Plugin, subscribers plugin.Subscribers, given message.Publisher, config plugin.Config) {
	t.Helper()
	config.MaxRetries, config.RetryInterval = 2, time.Millisecond
	register, err := plugin.Register(plugins, subscribers, given, slog.New(slog.DiscardHandler), config)
	if err != nil {
		t.Fatal(err)
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	router.AddPlugin(register)
	done := make(chan error)
	go func() { done <- router.Run(context.WithoutCancel(t.Context())) }()
	<-router.Running()
	t.Cleanup(func() {
		if err := errors.Join(router.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
}

func (f *fixture) message(t *testing.T, e schema.Event) *message.Message {
	t.Helper()
	payload, err := schema.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	f.version++
	m := message.NewMessage(watermill.NewUUID(), payload)
	m.Metadata = schema.Headers(e.EventName(), schema.Metadata{
		AggregateID: e.Aggregate(), Version: f.version, OccurredAt: time.Now(), CorrelationID: "c-1", SchemaVersion: 1,
	})
	return m
}

// publish returns when all handlers are done with the message.
func (f *fixture) publish(t *testing.T, m *message.Message) {
	t.Helper()
	if err := f.transport.Publish(schema.Topic, m); err != nil {
		t.Error(err)
	}
}

// run is start for events that nothing else is known of.
func run(t *testing.T, failures *prometheus.CounterVec, plugins ...plugin.Plugin) (publish func(schema.Event), given *poison) {
	t.Helper()
	f := start(t, plugin.Config{Failures: failures}, plugins...)
	return func(e schema.Event) {
		t.Helper()
		f.publish(t, f.message(t, e))
	}, f.given
}

func TestAHandlerGetsItsKindOfEvent(t *testing.T) {
	var got []string
	publish, given := run(t, nil, plugin.Plugin{Name: "billing", Handlers: []plugin.Handler{
		plugin.On("checked-in", func(_ context.Context, e schema.PatientCheckedIn, m schema.Metadata) error {
			got = append(got, e.PatientID+" "+m.AggregateID+" "+m.CorrelationID)
			return nil
		}),
		plugin.On("called", func(_ context.Context, e schema.PatientCalled, _ schema.Metadata) error {
			got = append(got, "called "+e.StationID)
			return nil
		}),
	}})
	publish(schema.WaitingQueueCreated{QueueID: "q"})
	publish(schema.PatientCheckedIn{QueueID: "q", PatientID: "p"})
	publish(schema.PatientCalled{QueueID: "q", StationID: "room-1"})
	if diff := cmp.Diff([]string{"p q c-1", "called room-1"}, got); diff != "" {
		t.Errorf("events differ (-want +got):\n%s", diff)
	}
	if len(given.handlers) > 0 {
		t.Errorf("given up: %v", given.handlers)
	}
}

func TestAFailingHandlerIsRetriedThenSetAsideAlone(t *testing.T) {
	tries, others := 0, 0
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "failures"}, []string{"event_name", "handler"})
	publish, given := run(t, failures,
		plugin.Plugin{Name: "billing", Handlers: []plugin.Handler{
			plugin.On("fails", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error {
				tries++
				return errors.New("no")
			}),
		}},
		plugin.Plugin{Name: "board", Handlers: []plugin.Handler{
			plugin.On("panics-once", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error {
				if others++; others == 1 {
					panic("oops")
				}
				return nil
			}),
		}})
	publish(schema.PatientCheckedIn{QueueID: "q"})
	if tries != 3 || others != 2 {
		t.Errorf("the failing handler was tried %d times, the other %d", tries, others)
	}
	if n := testutil.ToFloat64(failures.WithLabelValues("PatientCheckedIn", "plugin.billing.fails")); n != 1 {
		t.Errorf("the failure is counted %v times", n)
	}
	if diff := cmp.Diff([]string{"plugin.billing.fails"}, given.handlers); diff != "" {
		t.Errorf("given up (-want +got):\n%s", diff)
	}
}

func TestMistakesAreReportedTogether(t *testing.T) {
	handler := plugin.On("h", func(context.Context, schema.PatientCalled, schema.Metadata) error { return nil })
	err := plugin.Validate([]plugin.Plugin{
		{Name: "Billing", Handlers: []plugin.Handler{handler}},
		{Name: "empty"},
		{Name: "twice", Handlers: []plugin.Handler{handler, handler}},
		{Name: "bare", Handlers: []plugin.Handler{{}}},
	})
	for _, want := range []string{`"Billing"`, `"empty" has no handlers`, "plugin.twice.h is there twice", `"bare": a handler is made with On or OnTx`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %s: %v", want, err)
		}
	}
}

// Queue names are public API.
func TestQueues(t *testing.T) {
	got := plugin.Queues([]plugin.Plugin{{Name: "billing", Handlers: []plugin.Handler{
		plugin.On("called", func(context.Context, schema.PatientCalled, schema.Metadata) error { return nil }),
	}}})
	want := []plugin.Queue{{Handler: "plugin.billing.called", EventName: "PatientCalled", BindingKeys: []string{"PatientCalled.*"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("queues differ (-want +got):\n%s", diff)
	}
}
