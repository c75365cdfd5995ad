package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/ThreeDotsLabs/watermill"
	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	amqp "github.com/rabbitmq/amqp091-go"
)

// maxName leaves room for "<exchange>.dead.<group>" in a short string.
const maxName = (maxShort - len(".dead.")) / 2

// QueueName is the queue of a consumer group at an exchange.
func QueueName(exchange, group string) string { return exchange + "." + group }

// DeadLetterExchange is where the queues of an exchange put what they give up.
func DeadLetterExchange(exchange string) string { return exchange + ".dead" }

// DeadLetterQueue holds what the queue of a consumer group gave up, for a person.
func DeadLetterQueue(exchange, group string) string {
	return DeadLetterExchange(exchange) + "." + group
}

func checkTopic(topic string) error {
	if topic == "" || len(topic) > maxName {
		return fmt.Errorf("the exchange name %q must have from 1 to %d bytes", topic, maxName)
	}
	if strings.HasPrefix(topic, "amq.") {
		return fmt.Errorf("the exchange name %q is reserved", topic)
	}
	return nil
}

// topology declares the queue of one group and what surrounds it. The stock
// builder does what it can; the rest is the dead-letter side, the arguments of a
// quorum queue, and more than one binding.
type topology struct {
	wamqp.DefaultTopologyBuilder
	group         Group
	deliveryLimit int
}

var _ wamqp.TopologyBuilder = topology{}

// ExchangeDeclare declares a durable topic exchange.
func (t topology) ExchangeDeclare(ch *amqp.Channel, name string, config wamqp.Config) error {
	return t.DefaultTopologyBuilder.ExchangeDeclare(ch, name, config)
}

// BuildTopology declares exchange, queue, bindings and dead-letter queue.
func (t topology) BuildTopology(
	ch *amqp.Channel, params wamqp.BuildTopologyParams, config wamqp.Config, logger watermill.LoggerAdapter,
) error {
	if err := t.declareDeadLetters(ch, params); err != nil {
		return err
	}
	config.Queue.Arguments = t.queueArguments(params)
	for _, key := range t.bindingKeys() {
		params.RoutingKey = key
		if err := t.DefaultTopologyBuilder.BuildTopology(ch, params, config, logger); err != nil {
			return fmt.Errorf("declare queue %s: %w", params.QueueName, err)
		}
	}
	return nil
}

func (t topology) bindingKeys() []string {
	if len(t.group.BindingKeys) == 0 {
		return []string{"#"}
	}
	return t.group.BindingKeys
}

// queueArguments make a replicated queue that feeds one consumer at a time, so
// that order holds however many replicas run, and that gives a message up only
// once the dead-letter queue has confirmed it.
func (t topology) queueArguments(params wamqp.BuildTopologyParams) amqp.Table {
	return amqp.Table{
		amqp.QueueTypeArg:            amqp.QueueTypeQuorum,
		amqp.SingleActiveConsumerArg: true,
		"x-delivery-limit":           int64(t.deliveryLimit),
		"x-dead-letter-exchange":     DeadLetterExchange(params.Topic),
		"x-dead-letter-routing-key":  t.group.Name,
		"x-dead-letter-strategy":     "at-least-once",
		amqp.QueueOverflowArg:        amqp.QueueOverflowRejectPublish, // at-least-once requires it
	}
}

// declareDeadLetters gives each group its own dead letters: the queue's routing
// key for them is the group's name, whatever key they were published with.
func (t topology) declareDeadLetters(ch *amqp.Channel, params wamqp.BuildTopologyParams) error {
	exchange, queue := DeadLetterExchange(params.Topic), DeadLetterQueue(params.Topic, t.group.Name)
	if err := ch.ExchangeDeclare(exchange, amqp.ExchangeDirect, true, false, false, false, nil); err != nil {
		return fmt.Errorf("declare exchange %s: %w", exchange, err)
	}
	quorum := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}
	if _, err := ch.QueueDeclare(queue, true, false, false, false, quorum); err != nil {
		return fmt.Errorf("declare queue %s: %w", queue, err)
	}
	if err := ch.QueueBind(queue, t.group.Name, exchange, false, nil); err != nil {
		return fmt.Errorf("bind queue %s: %w", queue, err)
	}
	return nil
}

// declareGroup declares the queue of a group at the exchange of a topic.
func declareGroup(ch *amqp.Channel, logger *slog.Logger, config Config, topic string, g Group) error {
	words := config.vocabulary(g)
	return words.TopologyBuilder.BuildTopology(ch, wamqp.BuildTopologyParams{
		Topic:        topic,
		QueueName:    words.Queue.GenerateName(topic),
		ExchangeName: words.Exchange.GenerateName(topic),
	}, words, watermill.NewSlogLogger(logger))
}

// declareExchange declares the exchange of a topic, and the queues of
// config.Groups where the topic is config.Exchange.
func declareExchange(ch *amqp.Channel, logger *slog.Logger, config Config, topic string) error {
	words := config.vocabulary(Group{})
	if err := words.TopologyBuilder.ExchangeDeclare(ch, words.Exchange.GenerateName(topic), words); err != nil {
		return fmt.Errorf("declare exchange %s: %w", topic, err)
	}
	if topic != config.Exchange {
		return nil
	}
	for _, g := range config.Groups {
		if err := declareGroup(ch, logger, config, topic, g); err != nil {
			return err
		}
	}
	return nil
}

// Declare declares config.Exchange and the queues of config.Groups, and returns
// when the broker has them. It makes one attempt, on a connection of its own,
// and returns every mistake of the config, or *UnavailableError. What exists
// with other properties is left as it is and is an error too. A Publisher does
// the same whenever it connects.
func Declare(ctx context.Context, logger *slog.Logger, config Config) error {
	config.setDefaults()
	if err := config.validate(); err != nil {
		return fmt.Errorf("rabbitmq config: %w", err)
	}
	conn := newConnection(config, logger)
	defer conn.close(farewell)
	defer context.AfterFunc(ctx, conn.sever)()
	session, err := conn.session(ctx)
	if err != nil {
		return unavailable(err)
	}
	return session.setUp(func(ch *amqp.Channel) error {
		return declareExchange(ch, logger, config, config.Exchange)
	})
}

// unavailable wraps what went wrong between us and the broker.
func unavailable(err error) error {
	if known := (*UnavailableError)(nil); err == nil || errors.Is(err, ErrClosed) || errors.As(err, &known) {
		return err
	}
	return &UnavailableError{Err: err}
}
