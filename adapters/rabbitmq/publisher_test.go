package rabbitmq_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/adapters/rabbitmq"
	"github.com/rlapp/rlapp/adapters/rabbitmq/rabbitmqtest"
)

// event is a message with the headers that make its routing key.
func event(name string, lane int) *message.Message {
	msg := message.NewMessage(watermill.NewUUID(), []byte(`{}`))
	msg.Metadata.Set("event_name", name)
	msg.Metadata.Set("lane", strconv.Itoa(lane))
	return msg
}

func topic(t testing.TB) string {
	t.Helper()
	return "test-" + watermill.NewUUID()
}

// within fails the test when do takes longer than limit.
func within(t *testing.T, limit time.Duration, do func() error) error {
	t.Helper()
	start := time.Now()
	err := do()
	if took := time.Since(start); took > limit {
		t.Errorf("it took %s, more than %s", took, limit)
	}
	return err
}

func wantUnavailable(t *testing.T, err error) {
	t.Helper()
	if unavailable := (*rabbitmq.UnavailableError)(nil); !errors.As(err, &unavailable) {
		t.Fatalf("got %v (%T), want *UnavailableError", err, err)
	}
}

func TestPublishReportsEveryUnroutableMessage(t *testing.T) {
	config := quick(t, "only-checkins")
	config.BindingKeys = []string{"PatientCheckedIn.*", "topic"}
	exchange := topic(t)
	if err := newSubscriber(t, config).SubscribeInitialize(exchange); err != nil {
		t.Fatal(err)
	}
	var messages []*message.Message
	var want []string
	for i := range 1300 { // more than are ever on their way at once
		name := "PatientCheckedIn"
		if i%3 == 0 {
			name = "PatientCalled"
		}
		msg := event(name, i%16)
		messages = append(messages, msg)
		if i%3 == 0 {
			want = append(want, msg.UUID)
		}
	}

	err := newPublisher(t, config).Publish(exchange, messages...)

	unroutable := (*rabbitmq.UnroutableError)(nil)
	if !errors.As(err, &unroutable) {
		t.Fatalf("got %v, want *UnroutableError", err)
	}
	if diff := cmp.Diff(want, unroutable.MessageUUIDs); diff != "" {
		t.Errorf("unroutable messages (-want +got):\n%s", diff)
	}
	if !strings.Contains(unroutable.Reason, "NO_ROUTE") || !strings.Contains(unroutable.Reason, "PatientCalled.0") {
		t.Errorf("the reason %q names neither cause nor routing key", unroutable.Reason)
	}
	queue, err := channel(t).QueueDeclarePassive(rabbitmq.QueueName(exchange, "only-checkins"), true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := queue.Messages, len(messages)-len(want); got != want {
		t.Errorf("the queue has %d messages, want %d", got, want)
	}
}

func TestPublishToAnExchangeWithoutQueues(t *testing.T) {
	err := newPublisher(t, quick(t, "g")).Publish(topic(t), event("PatientCheckedIn", 3))
	if unroutable := (*rabbitmq.UnroutableError)(nil); !errors.As(err, &unroutable) {
		t.Fatalf("got %v, want *UnroutableError", err)
	}
}

func TestPublishWhileTheBrokerIsAway(t *testing.T) {
	config := quick(t, "g")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config.URL = "amqp://" + listener.Addr().String()
	_ = listener.Close()
	publisher := newPublisher(t, config)
	for range 3 {
		wantUnavailable(t, within(t, time.Second, func() error {
			return publisher.Publish("x", event("PatientCheckedIn", 0))
		}))
	}
}

func TestPublishRespectsTheContextOfAMessage(t *testing.T) {
	publisher := newPublisher(t, quick(t, "g"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	msg := event("PatientCheckedIn", 0)
	msg.SetContext(ctx)
	err := publisher.Publish(topic(t), event("PatientCheckedIn", 0), msg)
	if unavailable := (*rabbitmq.UnavailableError)(nil); !errors.Is(err, context.Canceled) || errors.As(err, &unavailable) {
		t.Errorf("got %v (%T), want the context's error", err, err)
	}
}

func TestPublishRefusesWhatCannotTravel(t *testing.T) {
	long := strings.Repeat("x", 256)
	withMetadata := func(key, value string) *message.Message {
		msg := event("PatientCheckedIn", 0)
		msg.Metadata.Set(key, value)
		return msg
	}
	tests := map[string]*message.Message{
		"no id":               message.NewMessage("", nil),
		"a long id":           message.NewMessage(long, nil),
		"a long metadata key": withMetadata(long, ""),
		"too much metadata":   withMetadata("k", strings.Repeat("x", 128<<10)),
		"a long routing key":  withMetadata("event_name", long),
	}
	publisher := newPublisher(t, quick(t, "g"))
	for name, msg := range tests {
		t.Run(name, func(t *testing.T) {
			err := publisher.Publish("x", msg)
			if bad := (*rabbitmq.MessageError)(nil); !errors.As(err, &bad) {
				t.Errorf("got %v, want *MessageError", err)
			}
		})
	}
}

func TestPublishCarriesTheMostMetadataThatItAccepts(t *testing.T) {
	config := quick(t, "g")
	exchange := topic(t)
	if err := newSubscriber(t, config).SubscribeInitialize(exchange); err != nil {
		t.Fatal(err)
	}
	msg := event("PatientCheckedIn", 0)
	msg.Metadata.Set("correlation_id", strings.Repeat("c", 300)) // does not fit the property
	for i := range 1000 {
		msg.Metadata.Set(fmt.Sprintf("%04d", i), strings.Repeat("x", 117))
	}
	if err := newPublisher(t, config).Publish(exchange, msg); err != nil {
		t.Fatal(err)
	}
}

func TestPublishReportsAMessageThatTheBrokerRefuses(t *testing.T) {
	node, config, exchange := rabbitmqtest.Shared(t), quick(t, "g"), topic(t)
	setLimit := func(bytes int) {
		expression := fmt.Sprintf("application:set_env(rabbit, max_message_size, %d).", bytes)
		if _, err := node.Ctl(context.Background(), "eval", expression); err != nil {
			t.Fatal(err)
		}
	}
	setLimit(1000)
	defer setLimit(128 << 20)
	if err := newSubscriber(t, config).SubscribeInitialize(exchange); err != nil {
		t.Fatal(err)
	}
	publisher := newPublisher(t, config)
	large := message.NewMessage("large", make([]byte, 2000))

	err := publisher.Publish(exchange, large)

	nacked := (*rabbitmq.NackedError)(nil)
	if !errors.As(err, &nacked) {
		t.Fatalf("got %v, want *NackedError", err)
	}
	if diff := cmp.Diff([]string{"large"}, nacked.MessageUUIDs); diff != "" {
		t.Errorf("nacked messages (-want +got):\n%s", diff)
	}
	if err := publisher.Publish(exchange, event("PatientCheckedIn", 0)); err != nil {
		t.Errorf("the next message: %v", err)
	}

	// Among others it alone fails.
	many := []*message.Message{large}
	for range 10 {
		many = append(many, event("PatientCheckedIn", 0))
	}
	many = append(many, message.NewMessage("also large", make([]byte, 2000)), event("PatientCheckedIn", 0))
	if diff := cmp.Diff([]string{"also large", "large"}, nackedIDs(publisher.Publish(exchange, many...))); diff != "" {
		t.Errorf("nacked messages among others (-want +got):\n%s", diff)
	}
	arrived := map[string]bool{}
	messages, err := newSubscriber(t, config).Subscribe(t.Context(), exchange)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(10 * time.Second)
	for len(arrived) < 12 {
		select {
		case msg := <-messages:
			arrived[msg.UUID] = true
			msg.Ack()
		case <-deadline:
			t.Fatalf("%d messages arrived, want 12", len(arrived))
		}
	}
}

// nackedIDs are the messages that an error, which may join several, says were nacked.
func nackedIDs(err error) []string {
	joined, ok := err.(interface{ Unwrap() []error })
	if nacked := (*rabbitmq.NackedError)(nil); !ok && errors.As(err, &nacked) {
		return nacked.MessageUUIDs
	} else if !ok {
		return nil
	}
	var ids []string
	for _, one := range joined.Unwrap() {
		ids = append(ids, nackedIDs(one)...)
	}
	slices.Sort(ids)
	return ids
}

func TestPublishDeclaresAnExchangeThatVanished(t *testing.T) {
	config, exchange := quick(t, "g"), topic(t)
	config.Exchange, config.Groups = exchange, []rabbitmq.Group{{Name: "g"}}
	publisher := newPublisher(t, config)
	if err := publisher.Publish(exchange, event("PatientCheckedIn", 0)); err != nil {
		t.Fatal(err)
	}
	if err := channel(t).ExchangeDelete(exchange, false, false); err != nil {
		t.Fatal(err)
	}
	wantUnavailable(t, publisher.Publish(exchange, event("PatientCheckedIn", 0)))
	if err := publisher.Publish(exchange, event("PatientCheckedIn", 0)); err != nil {
		t.Fatal(err)
	}
}

// A queue or a binding that somebody deleted is made again for the retry.
func TestPublishDeclaresWhatTookAMessageBefore(t *testing.T) {
	for name, spoil := range map[string]func(ch *amqp.Channel, exchange, queue string) error{
		"a queue": func(ch *amqp.Channel, _, queue string) error {
			_, err := ch.QueueDelete(queue, false, false, false)
			return err
		},
		"a binding": func(ch *amqp.Channel, exchange, queue string) error { return ch.QueueUnbind(queue, "#", exchange, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			config, exchange := quick(t, "g"), topic(t)
			config.Exchange, config.Groups = exchange, []rabbitmq.Group{{Name: "g"}}
			publisher, queue := newPublisher(t, config), rabbitmq.QueueName(exchange, "g")
			if err := publisher.Publish(exchange, event("PatientCheckedIn", 0)); err != nil {
				t.Fatal(err)
			}
			if err := spoil(channel(t), exchange, queue); err != nil {
				t.Fatal(err)
			}
			err := publisher.Publish(exchange, event("PatientCheckedIn", 0))
			if unroutable := (*rabbitmq.UnroutableError)(nil); !errors.As(err, &unroutable) {
				t.Fatalf("got %v, want *UnroutableError", err)
			}
			if err := publisher.Publish(exchange, event("PatientCheckedIn", 0)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A binding that somebody deleted, while another queue takes everything, comes back too,
// though the broker tells nobody of it.
func TestPublishDeclaresNowAndThenWhatNobodyMisses(t *testing.T) {
	config, exchange := quick(t, "g"), topic(t)
	config.Exchange, config.Groups = exchange, []rabbitmq.Group{{Name: "g"}, {Name: "all"}}
	config.RedeclareInterval = 20 * time.Millisecond
	publisher := newPublisher(t, config)
	publish(t, publisher, exchange, event("PatientCheckedIn", 0))
	ch, queue := channel(t), rabbitmq.QueueName(exchange, "g")
	if err := ch.QueueUnbind(queue, "#", exchange, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueuePurge(queue, false); err != nil {
		t.Fatal(err)
	}

	eventually(t, 20*time.Second, func() error {
		publish(t, publisher, exchange, event("PatientCheckedIn", 0))
		there, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err == nil && there.Messages == 0 {
			err = errors.New("nothing arrives")
		}
		return err
	})
}

func TestPublishKeepsAwayFromATopicOfAnotherKind(t *testing.T) {
	exchange := topic(t)
	if err := channel(t).ExchangeDeclare(exchange, amqp.ExchangeFanout, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	// Nothing is wrong with the message, so it must wait.
	wantUnavailable(t, newPublisher(t, quick(t, "g")).Publish(exchange, event("PatientCheckedIn", 0)))
}

func TestMemoryAlarmHangsNothing(t *testing.T) {
	node, config, exchange := rabbitmqtest.Shared(t), quick(t, "g"), topic(t)
	config.ConfirmTimeout = time.Second
	if err := newSubscriber(t, config).SubscribeInitialize(exchange); err != nil {
		t.Fatal(err)
	}
	publisher, closing := newPublisher(t, config), newPublisher(t, config)
	for _, p := range []*rabbitmq.Publisher{publisher, closing} {
		if err := p.Publish(exchange, event("PatientCheckedIn", 0)); err != nil {
			t.Fatal(err)
		}
	}
	setWatermark := func(fraction string) {
		if _, err := node.Ctl(context.Background(), "set_vm_memory_high_watermark", fraction); err != nil {
			t.Fatal(err)
		}
	}
	setWatermark("0.0000001")
	defer setWatermark("0.4")

	const slack = 5 * time.Second                              // the machine may be busy; what hangs, hangs for ever
	large := message.NewMessage("large", make([]byte, 64<<20)) // does not fit the sockets' buffers
	for _, msg := range []*message.Message{event("PatientCheckedIn", 1), event("PatientCheckedIn", 2), large} {
		for _, p := range []*rabbitmq.Publisher{publisher, closing} {
			wantUnavailable(t, within(t, config.ConfirmTimeout+slack, func() error { return p.Publish(exchange, msg) }))
		}
	}
	wantUnavailable(t, publisher.Ping(t.Context()))
	wantUnavailable(t, waiting(t, publisher))
	if err := within(t, 10*time.Second, closing.Close); err != nil {
		t.Error(err)
	}
	fresh := newPublisher(t, config)
	wantUnavailable(t, within(t, config.ConfirmTimeout+slack, func() error { return fresh.Publish(exchange, large) }))
	if err := within(t, 10*time.Second, fresh.Close); err != nil {
		t.Error(err)
	}

	setWatermark("0.4")
	eventually(t, 20*time.Second, func() error { return publisher.Publish(exchange, event("PatientCheckedIn", 3)) })
	if err := publisher.Ping(t.Context()); err != nil {
		t.Errorf("after the alarm: %v", err)
	}
}

func TestSilentBrokerHangsNothing(t *testing.T) {
	node, config, exchange := rabbitmqtest.Shared(t), quick(t, "g"), topic(t)
	config.ConfirmTimeout, config.ConnectTimeout = time.Second, time.Second
	if err := newSubscriber(t, config).SubscribeInitialize(exchange); err != nil {
		t.Fatal(err)
	}
	publisher, asking, subscriber := newPublisher(t, config), newPublisher(t, config), newSubscriber(t, config)
	for _, p := range []*rabbitmq.Publisher{publisher, asking} {
		if err := p.Publish(exchange, event("PatientCheckedIn", 0)); err != nil {
			t.Fatal(err)
		}
	}
	messages, err := subscriber.Subscribe(t.Context(), exchange)
	if err != nil {
		t.Fatal(err)
	}
	receive(t, messages).Ack()
	receive(t, messages).Ack()

	if err := node.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = node.Thaw() }()
	const slack = 5 * time.Second // the machine may be busy; what hangs, hangs for ever
	wantUnavailable(t, waiting(t, asking))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	hasty := event("PatientCheckedIn", 1)
	hasty.SetContext(ctx)
	err = within(t, slack, func() error { return publisher.Publish(exchange, hasty) })
	if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*rabbitmq.UnavailableError)) {
		t.Errorf("got %v (%T), want the error of the message's context", err, err)
	}
	for range 2 { // on the connection that was, and on none
		wantUnavailable(t, within(t, config.ConfirmTimeout+slack, func() error {
			return publisher.Publish(exchange, event("PatientCheckedIn", 1))
		}))
	}
	if err := within(t, config.CloseTimeout+2*time.Second, subscriber.Close); err != nil {
		t.Error(err)
	}
	if err := node.Thaw(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() error { return publisher.Publish(exchange, event("PatientCheckedIn", 2)) })
}

// waiting asks how many messages wait in a queue that is not there, as far as the broker
// answers.
func waiting(t *testing.T, p *rabbitmq.Publisher) error {
	t.Helper()
	return within(t, 10*time.Second, func() error {
		_, err := p.Waiting(t.Context(), "g")
		return err
	})
}

func TestWaiting(t *testing.T) {
	config := quick(t, "g")
	config.Exchange = topic(t)
	config.Groups = []rabbitmq.Group{{Name: "g"}}
	p := newPublisher(t, config)
	refusal := (*amqp.Error)(nil)
	if err := waiting(t, p); !errors.As(err, &refusal) || refusal.Code != amqp.NotFound {
		t.Errorf("without the queue the error is %v", err)
	}
	if err := p.Publish(config.Exchange, event("PatientCheckedIn", 0), event("PatientCheckedIn", 1)); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Waiting(t.Context(), "g"); n != 2 || err != nil {
		t.Errorf("%d messages wait, error %v; want 2", n, err)
	}
	messages, err := newSubscriber(t, config).Subscribe(t.Context(), config.Exchange)
	if err != nil {
		t.Fatal(err)
	}
	receive(t, messages) // and will have the other one at hand
	eventually(t, 20*time.Second, func() error {
		if n, err := p.Waiting(t.Context(), "g"); n != 0 || err != nil {
			return errors.Join(err, fmt.Errorf("%d messages wait", n))
		}
		return nil
	})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := waiting(t, p); !errors.Is(err, rabbitmq.ErrClosed) {
		t.Errorf("after Close the error is %v", err)
	}
	config.URL = "amqp://guest:guest@127.0.0.1:1/"
	wantUnavailable(t, waiting(t, newPublisher(t, config)))
}

func TestClosedPublisher(t *testing.T) {
	publisher := newPublisher(t, quick(t, "g"))
	for range 2 {
		if err := publisher.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := publisher.Publish("x", event("PatientCheckedIn", 0)); !errors.Is(err, rabbitmq.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

// eventually tries until it succeeds, at most for limit.
func eventually(t *testing.T, limit time.Duration, try func() error) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("still after %s: %v", limit, err)
		case <-tick.C:
		}
	}
}

// BenchmarkPublish publishes 5,000 messages in one call.
func BenchmarkPublish(b *testing.B) {
	const count = 5000
	exchange, config := topic(b), quick(b, "bench")
	if err := newSubscriber(b, config).SubscribeInitialize(exchange); err != nil {
		b.Fatal(err)
	}
	publisher := newPublisher(b, config)
	messages := make([]*message.Message, count)
	for i := range messages {
		messages[i] = event("PatientCheckedIn", i%16)
		messages[i].Payload = make([]byte, 300)
	}
	for b.Loop() {
		if err := publisher.Publish(exchange, messages...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(count*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
