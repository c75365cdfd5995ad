package poison_test

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/rlapp/rlapp/handlers/poison"
	"github.com/rlapp/rlapp/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const handler = "plugin.team.prints"

// record is what became of a message.
type record struct {
	// Calls are those of the handler, and CameBack the failures that the transport saw:
	// it delivers the message again then.
	Calls, CameBack int
	// Observed are the failures that an observer saw.
	Observed int
	Poisoned []poisoned
}

type poisoned struct{ Topic, Handler, Reason, Tries, Stack string }

// run gives a message to a handler that is surrounded, until the transport is done with
// it. fail is what the handler does, by the number of the call.
func run(t *testing.T, config poison.Config, replayFor string, fail func(call int) error) record {
	t.Helper()
	r := &recorder{}
	config.MaxRetries, config.RetryInterval = 2, time.Millisecond
	around, err := poison.Middlewares(handler, r, config, r.count(func(got *record) *int { return &got.Observed }))
	if err != nil {
		t.Fatal(err)
	}
	around = append([]message.HandlerMiddleware{r.count(func(got *record) *int { return &got.CameBack })}, around...)
	msg := message.NewMessage(watermill.NewUUID(), []byte("{}"))
	if replayFor != "" {
		msg.Metadata.Set(schema.HeaderReplayFor, replayFor)
	}
	route(t, msg, func(router *message.Router, transport message.Subscriber) error {
		router.AddConsumerHandler(handler, schema.Topic, transport, func(*message.Message) error { return fail(r.call()) }).AddMiddleware(around...)
		return nil
	})
	return r.got
}

// route hands a message to what add puts on a router, until it is acknowledged.
func route(t *testing.T, msg *message.Message, add func(*message.Router, message.Subscriber) error) {
	t.Helper()
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	transport := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, watermill.NopLogger{})
	if err := add(router, transport); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- router.Run(context.WithoutCancel(t.Context())) }()
	<-router.Running()
	if err := errors.Join(transport.Publish(schema.Topic, msg), router.Close(), <-done); err != nil {
		t.Fatal(err)
	}
}

// recorder is also the store of what is given up.
type recorder struct {
	mu  sync.Mutex
	got record
}

// call counts a call of the handler.
func (r *recorder) call() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got.Calls++
	return r.got.Calls
}

func (r *recorder) count(where func(*record) *int) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			produced, err := next(msg)
			r.mu.Lock()
			defer r.mu.Unlock()
			if err != nil {
				*where(&r.got)++
			}
			return produced, err
		}
	}
}

func (r *recorder) Publish(topic string, messages ...*message.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range messages {
		r.got.Poisoned = append(r.got.Poisoned, poisoned{
			topic, m.Metadata.Get(middleware.PoisonedHandlerKey), m.Metadata.Get(middleware.ReasonForPoisonedKey),
			m.Metadata.Get(schema.HeaderPoisonTries), m.Metadata.Get(schema.HeaderPoisonStack),
		})
	}
	return nil
}

func (*recorder) Close() error { return nil }

// untilCall makes a handler fail up to a call.
func untilCall(last int, err error) func(int) error {
	return func(call int) error {
		if call <= last {
			return err
		}
		return nil
	}
}

func TestWhatFailsIsSetAsideOrComesAgain(t *testing.T) {
	var (
		cancelled = fmt.Errorf("apply an event: %w", context.Canceled)
		noPaper   = errors.New("no paper")
		unknown   = fmt.Errorf("read an event: %w", &schema.UnknownEventError{Name: "E"})
		all       = poison.Config{IsPoison: func(error) bool { return true }}
		none      = poison.Config{IsPoison: func(error) bool { return false }}
	)
	const always = 1000
	setAside := func(reason, tries string) []poisoned {
		return []poisoned{{Topic: poison.Topic, Handler: handler, Reason: reason, Tries: tries}}
	}
	for name, tt := range map[string]struct {
		config poison.Config
		fail   func(int) error
		want   record
	}{
		"nothing fails":              {poison.Config{}, untilCall(0, nil), record{Calls: 1}},
		"healed by a retry":          {poison.Config{}, untilCall(2, noPaper), record{Calls: 3}},
		"an error":                   {poison.Config{}, untilCall(always, noPaper), record{Calls: 3, Observed: 1, Poisoned: setAside("no paper", "3")}},
		"an error that is poison":    {all, untilCall(always, noPaper), record{Calls: 3, Observed: 1, Poisoned: setAside("no paper", "3")}},
		"an error that is none":      {none, untilCall(3, noPaper), record{Calls: 4, Observed: 1, CameBack: 1}},
		"cancelled":                  {poison.Config{}, untilCall(3, cancelled), record{Calls: 4, Observed: 1, CameBack: 1}},
		"cancelled, all is poison":   {all, untilCall(3, cancelled), record{Calls: 4, Observed: 1, CameBack: 1}},
		"cancelled, among others":    {all, untilCall(3, errors.Join(noPaper, cancelled)), record{Calls: 4, Observed: 1, CameBack: 1}},
		"unreadable, never retried":  {poison.Config{}, untilCall(always, unknown), record{Calls: 1, Observed: 1, Poisoned: setAside(unknown.Error(), "1")}},
		"unreadable, but comes back": {none, untilCall(1, unknown), record{Calls: 2, Observed: 1, CameBack: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, run(t, tt.config, "", tt.fail)); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

// A panic is retried and set aside as an error is, with its stack.
func TestAPanicIsSetAsideWithItsStack(t *testing.T) {
	got := run(t, poison.Config{}, "", func(int) error { panic("out of paper") })
	if got.Calls != 3 || got.Observed != 1 || got.CameBack != 0 || len(got.Poisoned) != 1 {
		t.Fatalf("got %+v", got)
	}
	p := got.Poisoned[0]
	if p.Handler != handler || p.Tries != "3" || !strings.Contains(p.Reason, "out of paper") || !strings.Contains(p.Stack, "poison_test.go") {
		t.Errorf("got %+v", p)
	}
}

// What is replayed to one handler is none of the others' business, nor does it fail in
// them.
func TestAReplayGoesToItsHandlerAlone(t *testing.T) {
	noPaper := untilCall(3, errors.New("no paper"))
	if diff := cmp.Diff(record{}, run(t, poison.Config{}, "plugin.team.bills", noPaper)); diff != "" {
		t.Errorf("replayed to another handler (-want +got):\n%s", diff)
	}
	want := record{Calls: 3, Observed: 1, Poisoned: []poisoned{{poison.Topic, handler, "no paper", "3", ""}}}
	if diff := cmp.Diff(want, run(t, poison.Config{}, handler, noPaper)); diff != "" {
		t.Errorf("replayed to this handler (-want +got):\n%s", diff)
	}
}

// A plugin counts no failure of an event in the midst of which it is stopped: it is not
// given up, and comes again.
func TestACancelledEventOfAPluginHasNotFailed(t *testing.T) {
	r := &recorder{}
	fail := untilCall(3, fmt.Errorf("print: %w", context.Canceled))
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "failures"}, []string{"event_name", "handler"})
	e := schema.PatientCalled{QueueID: "q"}
	payload, err := schema.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	msg := message.NewMessage(watermill.NewUUID(), payload)
	msg.Metadata = schema.Headers(e.EventName(), schema.Metadata{AggregateID: "q", Version: 1, OccurredAt: time.Now(), SchemaVersion: 1})
	route(t, msg, func(router *message.Router, transport message.Subscriber) error {
		register, err := plugin.Register([]plugin.Plugin{{Name: "team", Handlers: []plugin.Handler{
			plugin.On("prints", func(context.Context, schema.PatientCalled, schema.Metadata) error { return fail(r.call()) }),
		}}}, func(plugin.Queue) (message.Subscriber, error) { return transport, nil }, r, slog.New(slog.DiscardHandler),
			plugin.Config{MaxRetries: 2, RetryInterval: time.Millisecond, Failures: failures})
		if err != nil {
			return err
		}
		return register(router)
	})
	if diff := cmp.Diff(record{Calls: 4}, r.got); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	if n := testutil.CollectAndCount(failures); n != 0 {
		t.Errorf("%d failures are counted", n)
	}
}
