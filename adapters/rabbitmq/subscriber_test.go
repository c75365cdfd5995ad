package rabbitmq_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/adapters/rabbitmq"
	"github.com/rlapp/rlapp/adapters/rabbitmq/rabbitmqtest"
)

func receive(t testing.TB, messages <-chan *message.Message) *message.Message {
	t.Helper()
	return receiveWithin(t, 20*time.Second, messages)
}

func receiveWithin(t testing.TB, limit time.Duration, messages <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case msg, open := <-messages:
		if !open {
			t.Fatal("the subscription ended")
		}
		return msg
	case <-time.After(limit):
		t.Fatal("no message came")
	}
	return nil
}

func subscribe(t testing.TB, s *rabbitmq.Subscriber, topic string) <-chan *message.Message {
	t.Helper()
	messages, err := s.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

func publish(t testing.TB, p *rabbitmq.Publisher, topic string, messages ...*message.Message) {
	t.Helper()
	if err := p.Publish(topic, messages...); err != nil {
		t.Fatal(err)
	}
}

func TestKilledBrokerLosesNothing(t *testing.T) {
	node, config, exchange := rabbitmqtest.Shared(t), quick(t, "g"), topic(t)
	messages := subscribe(t, newSubscriber(t, config), exchange)
	publisher := newPublisher(t, config)
	if err := node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	const count, killAfter = 600, 200

	var want []string
	for i := range count {
		want = append(want, fmt.Sprintf("%03d", i))
	}
	begun, published, restarted := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	go func() { published <- publishAll(publisher, exchange, want, killAfter, begun) }()
	go func() {
		<-begun
		restarted <- errors.Join(node.Kill(), node.Restart(context.Background()))
	}()

	var got []string // in the order of their first arrival
	seen := map[string]bool{}
	for len(got) < count {
		msg := receiveWithin(t, time.Minute, messages)
		if !seen[msg.UUID] {
			seen[msg.UUID] = true
			got = append(got, msg.UUID)
		}
		msg.Ack()
	}
	if err := errors.Join(<-published, <-restarted); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// publishAll publishes one message after another, each until it succeeds, and
// closes begun after the first few.
func publishAll(p *rabbitmq.Publisher, topic string, ids []string, few int, begun chan<- struct{}) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i, id := range ids {
		msg := event("PatientCheckedIn", 0)
		msg.UUID = id
		for err := p.Publish(topic, msg); err != nil; err = p.Publish(topic, msg) {
			if !errors.As(err, new(*rabbitmq.UnavailableError)) {
				return fmt.Errorf("while the broker was down: %w", err)
			}
			<-tick.C
		}
		if i == few {
			close(begun)
		}
	}
	return nil
}

func TestSubscribeWhileTheBrokerIsAway(t *testing.T) {
	node, config, exchange := rabbitmqtest.Shared(t), quick(t, "g"), topic(t)
	config.Exchange, config.Groups = exchange, []rabbitmq.Group{{Name: "g"}}
	subscriber, publisher := newSubscriber(t, config), newPublisher(t, config)
	publish(t, publisher, exchange, event("PatientCheckedIn", 0))
	if err := node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantUnavailable(t, within(t, time.Second, func() error {
			return publisher.Publish(exchange, event("PatientCheckedIn", 0))
		}))
	}
	messages := subscribe(t, subscriber, exchange)
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	receive(t, messages).Ack() // what was published before
	msg := event("PatientCheckedIn", 0)
	eventually(t, 20*time.Second, func() error { return publisher.Publish(exchange, msg) })
	if got := receive(t, messages); got.UUID != msg.UUID {
		t.Errorf("got message %s, want %s", got.UUID, msg.UUID)
	}
}

func TestRedeliveryWithIntegerHeaders(t *testing.T) {
	config, exchange := quick(t, "g"), topic(t)
	config.CloseTimeout = time.Millisecond
	first := newSubscriber(t, config)
	messages := subscribe(t, first, exchange)
	sent := event("PatientCheckedIn", 7)
	sent.Metadata.Set("correlation_id", "c-1")
	publish(t, newPublisher(t, config), exchange, sent)
	if got := receive(t, messages).Metadata.Get(rabbitmq.RedeliveredKey); got != "" {
		t.Errorf("the first delivery says redelivered=%q", got)
	}
	if err := first.Close(); err != nil { // without an ack
		t.Fatal(err)
	}

	got := receive(t, subscribe(t, newSubscriber(t, config), exchange))

	want := message.Metadata{
		"event_name": "PatientCheckedIn", "lane": "7", "correlation_id": "c-1",
		"x-delivery-count": "1", rabbitmq.RedeliveredKey: "true",
	}
	if diff := cmp.Diff(want, got.Metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sent.UUID, got.UUID); diff != "" {
		t.Errorf("id (-want +got):\n%s", diff)
	}
	got.Ack()
}

func TestNackedMessageComesAgainBeforeAllOthers(t *testing.T) {
	config, exchange := quick(t, "g"), topic(t)
	messages := subscribe(t, newSubscriber(t, config), exchange)
	first, second := event("PatientCheckedIn", 0), event("PatientCalled", 0)
	publish(t, newPublisher(t, config), exchange, first, second)

	for attempt := range 4 {
		msg := receive(t, messages)
		if msg.UUID != first.UUID {
			t.Fatalf("attempt %d: got message %s, want %s", attempt, msg.UUID, first.UUID)
		}
		if got, want := msg.Metadata.Get(rabbitmq.RedeliveredKey) == "true", attempt > 0; got != want {
			t.Errorf("attempt %d: redelivered is %t, want %t", attempt, got, want)
		}
		if attempt < 3 {
			msg.Nack()
			continue
		}
		msg.Ack()
	}
	msg := receive(t, messages)
	if msg.UUID != second.UUID {
		t.Errorf("got message %s, want %s", msg.UUID, second.UUID)
	}
	msg.Ack()
}

func TestDeletedQueueIsDeclaredAgain(t *testing.T) {
	config, exchange := quick(t, "g"), topic(t)
	messages := subscribe(t, newSubscriber(t, config), exchange)
	publisher := newPublisher(t, config)
	publish(t, publisher, exchange, event("PatientCheckedIn", 0))
	receive(t, messages).Ack()

	if _, err := channel(t).QueueDelete(rabbitmq.QueueName(exchange, "g"), false, false, false); err != nil {
		t.Fatal(err)
	}

	msg := event("PatientCheckedIn", 0)
	eventually(t, 20*time.Second, func() error { return publisher.Publish(exchange, msg) })
	got := receive(t, messages)
	if got.UUID != msg.UUID {
		t.Errorf("got message %s, want %s", got.UUID, msg.UUID)
	}
	got.Ack()
}

func TestUnreadableMessageIsDeadLettered(t *testing.T) {
	config, exchange := quick(t, "g"), topic(t)
	messages := subscribe(t, newSubscriber(t, config), exchange)
	ch := channel(t)
	err := ch.PublishWithContext(t.Context(), exchange, "any.key", true, false, amqp.Publishing{Body: []byte("no id")})
	if err != nil {
		t.Fatal(err)
	}
	msg := event("PatientCheckedIn", 0)
	publish(t, newPublisher(t, config), exchange, msg)

	if got := receive(t, messages); got.UUID != msg.UUID {
		t.Errorf("got message %s, want %s", got.UUID, msg.UUID)
	}
	if got := deadLetter(t, ch, exchange, "g"); string(got.Body) != "no id" {
		t.Errorf("the dead letter is %q", got.Body)
	}
}

func TestDeliveryLimitIsTheLastNet(t *testing.T) {
	config, exchange := quick(t, "g"), topic(t)
	config.CloseTimeout, config.DeliveryLimit = time.Millisecond, 1
	if err := newSubscriber(t, config).SubscribeInitialize(exchange); err != nil {
		t.Fatal(err)
	}
	msg := event("PatientCheckedIn", 0)
	publish(t, newPublisher(t, config), exchange, msg)
	for range 2 { // the first delivery and the one that the limit allows
		subscriber := newSubscriber(t, config)
		receive(t, subscribe(t, subscriber, exchange))
		_ = subscriber.Close()
	}
	if got := deadLetter(t, channel(t), exchange, "g"); got.MessageId != msg.UUID {
		t.Errorf("the dead letter is %q, want %q", got.MessageId, msg.UUID)
	}
}

func deadLetter(t *testing.T, ch *amqp.Channel, exchange, group string) amqp.Delivery {
	t.Helper()
	letters, err := ch.Consume(rabbitmq.DeadLetterQueue(exchange, group), "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case d := <-letters:
		return d
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was dead-lettered")
	}
	return amqp.Delivery{}
}

func TestMessagesInFlight(t *testing.T) {
	config, exchange := quick(t, "g"), topic(t)
	config.MaxInFlight = 3
	messages := subscribe(t, newSubscriber(t, config), exchange)
	var all []*message.Message
	for range 5 {
		all = append(all, event("PatientCheckedIn", 0))
	}
	publish(t, newPublisher(t, config), exchange, all...)
	var hand []*message.Message
	for range 3 {
		hand = append(hand, receive(t, messages))
	}
	select {
	case <-messages:
		t.Fatal("a fourth message came before an ack")
	case <-time.After(50 * time.Millisecond):
	}
	hand[1].Ack() // not the oldest: the broker does not hear of it yet
	hand[2].Nack()
	select {
	case <-messages:
		t.Fatal("a message came although the oldest is not acked")
	case <-time.After(50 * time.Millisecond):
	}
	hand[0].Ack()
	came := map[string]string{}
	for range 3 {
		msg := receive(t, messages)
		came[msg.UUID] = msg.Metadata.Get(rabbitmq.RedeliveredKey)
		msg.Ack()
	}
	want := map[string]string{all[2].UUID: "true", all[3].UUID: "", all[4].UUID: ""}
	if diff := cmp.Diff(want, came); diff != "" {
		t.Errorf("messages, and whether they are redelivered (-want +got):\n%s", diff)
	}
}

// What was acked behind a message in hand is acknowledged when the subscriber closes,
// so that it does not come again.
func TestCloseAcknowledgesBehindTheMessageInHand(t *testing.T) {
	config, exchange := quick(t, "g"), topic(t)
	config.MaxInFlight, config.CloseTimeout = 10, time.Millisecond
	subscriber := newSubscriber(t, config)
	messages := subscribe(t, subscriber, exchange)
	first, second, third := event("PatientCheckedIn", 0), event("PatientCheckedIn", 0), event("PatientCheckedIn", 0)
	publish(t, newPublisher(t, config), exchange, first, second, third)
	for range 3 {
		if msg := receive(t, messages); msg.UUID != first.UUID {
			msg.Ack()
		}
	}
	if err := subscriber.Close(); err != nil {
		t.Fatal(err)
	}
	again := subscribe(t, newSubscriber(t, config), exchange)
	if msg := receive(t, again); msg.UUID != first.UUID {
		t.Errorf("got message %s, want %s", msg.UUID, first.UUID)
	}
	select {
	case msg := <-again:
		t.Errorf("message %s came again", msg.UUID)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestCloseWaitsForTheMessageInHand(t *testing.T) {
	config, exchange := quick(t, "g"), topic(t)
	config.CloseTimeout = 10 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	subscriber := newSubscriber(t, config)
	messages, err := subscriber.Subscribe(ctx, exchange)
	if err != nil {
		t.Fatal(err)
	}
	first, second := event("PatientCheckedIn", 0), event("PatientCheckedIn", 0)
	publish(t, newPublisher(t, config), exchange, first, second)

	inHand := receive(t, messages)
	cancel()
	closed := make(chan error)
	go func() { closed <- subscriber.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("Close did not wait: %v", err)
	case <-inHand.Context().Done():
		t.Fatal("the message's context ended while it is in hand")
	case <-time.After(50 * time.Millisecond):
	}
	inHand.Ack()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if _, open := <-messages; open {
		t.Error("a message came after Close")
	}

	next := receive(t, subscribe(t, newSubscriber(t, config), exchange))
	if next.UUID != second.UUID {
		t.Errorf("got message %s again, want %s", next.UUID, second.UUID)
	}
	next.Ack()
}

func TestClosedSubscriber(t *testing.T) {
	subscriber := newSubscriber(t, quick(t, "g"))
	for range 2 {
		if err := subscriber.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := subscriber.Subscribe(t.Context(), "x"); !errors.Is(err, rabbitmq.ErrClosed) {
		t.Errorf("Subscribe: got %v, want ErrClosed", err)
	}
	if err := subscriber.SubscribeInitialize("x"); !errors.Is(err, rabbitmq.ErrClosed) {
		t.Errorf("SubscribeInitialize: got %v, want ErrClosed", err)
	}
}

// BenchmarkSubscribe reads 5,000 messages, acked one by one in the order in which they
// come, with so many in flight.
func BenchmarkSubscribe(b *testing.B) {
	for _, inFlight := range []int{1, 500} {
		b.Run(fmt.Sprintf("%dinflight", inFlight), func(b *testing.B) { benchmarkSubscribe(b, inFlight) })
	}
}

func benchmarkSubscribe(b *testing.B, inFlight int) {
	const count = 5000
	exchange, config := topic(b), quick(b, "bench")
	config.MaxInFlight = inFlight
	messages := subscribe(b, newSubscriber(b, config), exchange)
	publisher := newPublisher(b, config)
	batch := make([]*message.Message, count)
	for i := range batch {
		batch[i] = event("PatientCheckedIn", i%16)
		batch[i].Payload = make([]byte, 300)
	}
	for b.Loop() {
		b.StopTimer()
		publish(b, publisher, exchange, batch...)
		b.StartTimer()
		for range count {
			receive(b, messages).Ack()
		}
	}
	b.ReportMetric(count*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
