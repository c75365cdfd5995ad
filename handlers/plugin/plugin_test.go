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

	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// poison keeps what handlers give up.
type poison struct {
	mu       sync.Mutex
	handlers []string
}

func (p *poison) Publish(_ string, messages ...*message.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range messages {
		p.handlers = append(p.handlers, m.Metadata.Get(middleware.PoisonedHandlerKey))
	}
	return nil
}

func (*poison) Close() error { return nil }

// run puts plugins on a router over the in-process transport; publish returns
// when all their handlers are done with an event.
func run(t *testing.T, failures *prometheus.CounterVec, plugins ...plugin.Plugin) (publish func(schema.Event), given *poison) {
	t.Helper()
	transport := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, watermill.NopLogger{})
	given = &poison{}
	subscribers := func(plugin.Queue) (message.Subscriber, error) { return transport, nil }
	register, err := plugin.Register(plugins, subscribers, given, slog.New(slog.DiscardHandler),
		plugin.Config{MaxRetries: 2, RetryInterval: time.Millisecond, Failures: failures})
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
	version := int64(0)
	return func(e schema.Event) {
		t.Helper()
		payload, err := schema.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		version++
		m := message.NewMessage(watermill.NewUUID(), payload)
		m.Metadata = schema.Headers(e.EventName(), schema.Metadata{
			AggregateID: e.Aggregate(), Version: version, OccurredAt: time.Now(), CorrelationID: "c-1", SchemaVersion: 1,
		})
		if err := transport.Publish(schema.Topic, m); err != nil {
			t.Fatal(err)
		}
	}, given
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
