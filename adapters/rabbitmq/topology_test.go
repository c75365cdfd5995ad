package rabbitmq_test

import (
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/adapters/rabbitmq"
)

func TestDeclareCreatesDurableThings(t *testing.T) {
	config, exchange := quick(t, ""), topic(t)
	config.Exchange = exchange
	config.Groups = []rabbitmq.Group{{Name: "monitor"}, {Name: "billing", BindingKeys: []string{"PaymentValidated.*"}}}
	for range 2 { // it may run at every start
		if err := rabbitmq.Declare(t.Context(), discard(), config); err != nil {
			t.Fatal(err)
		}
	}

	// Published before any consumer ever ran.
	checkIn, payment := event("PatientCheckedIn", 2), event("PaymentValidated", 2)
	publish(t, newPublisher(t, config), exchange, checkIn, payment)

	for queue, want := range map[string]int{
		rabbitmq.QueueName(exchange, "monitor"):       2,
		rabbitmq.QueueName(exchange, "billing"):       1,
		rabbitmq.DeadLetterQueue(exchange, "monitor"): 0,
		rabbitmq.DeadLetterQueue(exchange, "billing"): 0,
	} {
		got, err := channel(t).QueueDeclarePassive(queue, true, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Messages != want {
			t.Errorf("queue %s has %d messages, want %d", queue, got.Messages, want)
		}
	}
	for name, kind := range map[string]string{
		exchange: amqp.ExchangeTopic, rabbitmq.DeadLetterExchange(exchange): amqp.ExchangeDirect,
	} {
		if err := channel(t).ExchangeDeclarePassive(name, kind, true, false, false, false, nil); err != nil {
			t.Error(err)
		}
		// A passive declaration does not compare; a real one does.
		err := channel(t).ExchangeDeclare(name, kind, false, false, false, false, nil)
		if refusal := (*amqp.Error)(nil); !errors.As(err, &refusal) || refusal.Code != amqp.PreconditionFailed {
			t.Errorf("exchange %s is not durable: %v", name, err)
		}
	}
	received := receive(t, subscribe(t, newSubscriber(t, groupOf(config, "monitor")), exchange))
	if received.UUID != checkIn.UUID {
		t.Errorf("the consumer got %s, want %s", received.UUID, checkIn.UUID)
	}
}

func groupOf(config rabbitmq.Config, name string) rabbitmq.Config {
	config.ConsumerGroup = name
	return config
}

func TestDeclareSaysWhatIsInTheWay(t *testing.T) {
	config := quick(t, "")
	config.Exchange = topic(t)
	if err := channel(t).ExchangeDeclare(config.Exchange, amqp.ExchangeTopic, false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	err := rabbitmq.Declare(t.Context(), discard(), config)
	if refusal := (*amqp.Error)(nil); !errors.As(err, &refusal) || errors.As(err, new(*rabbitmq.UnavailableError)) {
		t.Errorf("got %v (%T), want the broker's refusal", err, err)
	}
}

func TestDeclareWithoutBroker(t *testing.T) {
	config := quick(t, "")
	config.URL = "amqp://127.0.0.1:1"
	wantUnavailable(t, rabbitmq.Declare(t.Context(), discard(), config))
}
