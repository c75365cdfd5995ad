package rabbitmq_test

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/rabbitmq"
	"github.com/rlapp/rlapp/adapters/rabbitmq/rabbitmqtest"
)

func TestMain(m *testing.M) {
	code := rabbitmqtest.Run(m)
	// The conformance suite's own multiplier keeps waiting for its reader when a
	// message comes twice at the end of a test, as it may.
	const multiplier = "github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe."
	ignored := []goleak.Option{goleak.IgnoreAnyFunction(multiplier + "func2"), goleak.IgnoreAnyFunction(multiplier + "func3")}
	if err := goleak.Find(ignored...); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// quick is a config whose waits suit tests.
func quick(t testing.TB, group string) rabbitmq.Config {
	t.Helper()
	return rabbitmq.Config{
		URL:                rabbitmqtest.URL(t),
		ConsumerGroup:      group,
		RedeliveryDelay:    time.Millisecond,
		MaxRedeliveryDelay: 5 * time.Millisecond,
		MaxReconnectDelay:  500 * time.Millisecond,
		CloseTimeout:       time.Second,
	}
}

func newPublisher(t testing.TB, config rabbitmq.Config) *rabbitmq.Publisher {
	t.Helper()
	p, err := rabbitmq.NewPublisher(discard(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func newSubscriber(t testing.TB, config rabbitmq.Config) *rabbitmq.Subscriber {
	t.Helper()
	s, err := rabbitmq.NewSubscriber(discard(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// channel opens a plain AMQP channel for what a test does to the broker itself.
func channel(t testing.TB) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(rabbitmqtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}
