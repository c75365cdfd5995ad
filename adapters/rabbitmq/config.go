package rabbitmq

import (
	"errors"
	"fmt"
	"strings"
	"time"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	amqp "github.com/rabbitmq/amqp091-go"
)

// DefaultExchange is the exchange of all events.
const DefaultExchange = "waiting_room_events"

// Config is shared by Publisher, Subscriber and Declare. Only URL, and for a
// Subscriber ConsumerGroup, have no default.
type Config struct {
	// URL is the broker's amqp:// or amqps:// address with credentials, which
	// are percent-encoded. It is never logged. Required.
	URL string
	// Exchange is what Declare declares, and the topic for which a Publisher
	// declares Groups. Default: DefaultExchange.
	Exchange string
	// Groups are the consumer groups whose queues are declared together with
	// Exchange, so that what is published before they first run is kept.
	// Default: none.
	Groups []Group
	// ConsumerGroup names the queue of a Subscriber; subscribers of one group
	// share its messages. Required for a Subscriber.
	ConsumerGroup string
	// BindingKeys say which messages the queue of ConsumerGroup takes, by routing
	// key "<event name>.<lane>"; "*" stands for one word, "#" for any number.
	// Default: "#".
	BindingKeys []string
	// ConnectionName shows in the broker's list of connections and as the
	// consumer's tag. Default: "rlapp".
	ConnectionName string

	// ConnectTimeout bounds one attempt to connect. Default: 5 s.
	ConnectTimeout time.Duration
	// ReconnectDelay is the wait after the first failed attempt to connect; it
	// doubles up to MaxReconnectDelay. Default: 100 ms.
	ReconnectDelay time.Duration
	// MaxReconnectDelay is the longest wait between attempts. Default: 5 s.
	MaxReconnectDelay time.Duration
	// CloseTimeout bounds the wait for messages in hand at Close. Default: 5 s.
	CloseTimeout time.Duration

	// ConfirmTimeout bounds one Publish call. Default: 5 s.
	ConfirmTimeout time.Duration
	// RedeclareInterval is how often a Publisher that is in use declares Groups anew: a
	// queue or a binding that somebody deleted, while another queue took what was
	// published, is away no longer. Default: 10 s.
	RedeclareInterval time.Duration

	// Prefetch is how many messages a subscription holds ready. Default: 100, or
	// twice MaxInFlight if that is more.
	Prefetch int
	// MaxInFlight is how many messages a subscription hands out before their acks.
	// With more than 1 they may be handled in any order, and are acknowledged to
	// the broker together. Default: 1, which keeps the order of the queue.
	MaxInFlight int
	// RedeliveryDelay is the wait before a nacked message is handed out again; it
	// doubles up to MaxRedeliveryDelay. Default: 100 ms.
	RedeliveryDelay time.Duration
	// MaxRedeliveryDelay is the longest such wait. Default: 5 s.
	MaxRedeliveryDelay time.Duration
	// DeliveryLimit is how often the broker delivers a message before it moves it
	// to the dead-letter queue. Nacks do not count, but every lost connection and
	// restart does: it is the last net, poison is decided by the application. It
	// is a property of the queue, so all processes must agree. Default: 100.
	DeliveryLimit int
}

// Group is a consumer group: the subscribers that share one queue.
type Group struct {
	// Name is the ConsumerGroup of its subscribers.
	Name string
	// BindingKeys are those of its subscribers. Default: "#".
	BindingKeys []string
}

func (c *Config) setDefaults() {
	setDefault(&c.Exchange, DefaultExchange)
	setDefault(&c.ConnectionName, "rlapp")
	setDefault(&c.ConnectTimeout, 5*time.Second)
	setDefault(&c.ReconnectDelay, 100*time.Millisecond)
	setDefault(&c.MaxReconnectDelay, max(5*time.Second, c.ReconnectDelay))
	setDefault(&c.CloseTimeout, 5*time.Second)
	setDefault(&c.ConfirmTimeout, 5*time.Second)
	setDefault(&c.RedeclareInterval, 10*time.Second)
	setDefault(&c.MaxInFlight, 1)
	setDefault(&c.Prefetch, min(max(100, 2*c.MaxInFlight), maxPrefetch))
	setDefault(&c.RedeliveryDelay, 100*time.Millisecond)
	setDefault(&c.MaxRedeliveryDelay, max(5*time.Second, c.RedeliveryDelay))
	setDefault(&c.DeliveryLimit, 100)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// maxPrefetch is the largest number that the protocol carries.
const maxPrefetch = 1<<16 - 1

func (c *Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	// The parser's error would quote the URL, and with it the password.
	_, err := amqp.ParseURI(c.URL)
	check(c.URL != "" && err == nil, "URL must be an amqp:// or amqps:// URL with percent-encoded credentials")
	errs = append(errs, checkTopic(c.Exchange))
	check(c.ReconnectDelay <= c.MaxReconnectDelay, "MaxReconnectDelay must not be less than ReconnectDelay")
	check(c.RedeliveryDelay <= c.MaxRedeliveryDelay, "MaxRedeliveryDelay must not be less than RedeliveryDelay")
	check(c.Prefetch >= 1 && c.Prefetch <= maxPrefetch, "Prefetch must be from 1 to %d", maxPrefetch)
	check(c.MaxInFlight >= 1 && c.MaxInFlight <= c.Prefetch, "MaxInFlight must be from 1 to Prefetch")
	check(c.DeliveryLimit >= 1, "DeliveryLimit must be at least 1")
	check(len(c.ConnectionName) <= maxShort, "ConnectionName must be at most %d bytes", maxShort)
	for name, d := range map[string]time.Duration{
		"ConnectTimeout": c.ConnectTimeout, "ReconnectDelay": c.ReconnectDelay, "CloseTimeout": c.CloseTimeout,
		"ConfirmTimeout": c.ConfirmTimeout, "RedeliveryDelay": c.RedeliveryDelay,
		"RedeclareInterval": c.RedeclareInterval,
	} {
		check(d > 0, "%s must be positive", name)
	}
	for _, g := range c.Groups {
		errs = append(errs, g.check())
	}
	return errors.Join(errs...)
}

// group is that of a Subscriber.
func (c *Config) group() Group { return Group{Name: c.ConsumerGroup, BindingKeys: c.BindingKeys} }

func (g Group) check() error {
	if g.Name == "" || len(g.Name) > maxName {
		return fmt.Errorf("the name %q of a consumer group must have from 1 to %d bytes", g.Name, maxName)
	}
	if strings.HasPrefix(g.Name, "dead.") {
		return fmt.Errorf("the name %q of a consumer group would make its queue a dead-letter queue", g.Name)
	}
	for _, key := range g.BindingKeys {
		if len(key) > maxShort {
			return fmt.Errorf("a binding key of consumer group %q has more than %d bytes", g.Name, maxShort)
		}
	}
	return nil
}

// vocabulary says the same in watermill-amqp's words, for the queue of a group.
func (c *Config) vocabulary(g Group) wamqp.Config {
	return wamqp.Config{
		Marshaler: Marshaler{},
		Exchange: wamqp.ExchangeConfig{
			GenerateName: wamqp.GenerateExchangeNameTopicName,
			Type:         amqp.ExchangeTopic,
			Durable:      true, // which the stock helper for topic exchanges forgets
		},
		Queue: wamqp.QueueConfig{
			GenerateName: func(topic string) string { return QueueName(topic, g.Name) },
			Durable:      true,
		},
		Publish: wamqp.PublishConfig{
			GenerateRoutingKey: func(topic string) string { return topic },
			Mandatory:          true,
			ConfirmDelivery:    true,
		},
		Consume: wamqp.ConsumeConfig{
			Consumer: c.ConnectionName,
			Qos:      wamqp.QosConfig{PrefetchCount: c.Prefetch},
		},
		TopologyBuilder: topology{group: g, deliveryLimit: c.DeliveryLimit},
	}
}
