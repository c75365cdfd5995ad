package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rlapp/rlapp/adapters/rabbitmq"
	"github.com/rlapp/rlapp/app/server/config"
	"github.com/rlapp/rlapp/handlers/httpapi"
	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/schema"
)

// transport carries events from the relay to the handlers.
type transport struct {
	publisher message.Publisher
	// subscriber makes the subscriber of one handler's queue.
	subscriber func(plugin.Queue) (message.Subscriber, error)
	// hand gives messages to one handler's queue alone.
	hand func(handler string, messages ...*message.Message) error
	// waiting is how many messages wait in a handler's queue. It is nil where nobody can
	// delete a queue.
	waiting func(ctx context.Context, handler string) (int, error)
	// prepare makes every handler's queue, so that the first event need not wait for
	// it. It is tried once: the publisher makes up for it when the broker is back.
	prepare func(ctx context.Context) error
	// outage says that an error tells about the transport, not the event.
	outage func(error) bool
	// hopeless says that no retry can help an event.
	hopeless func(error) bool
	// unroutable says that no queue takes an event.
	unroutable func(error) bool
	checks     []httpapi.Check
	close      func() error
}

// newTransport returns RabbitMQ where it is configured, else the in-process
// transport of the embedded default.
func newTransport(c config.Config, queues []plugin.Queue, logger *slog.Logger, watermillLogger watermill.LoggerAdapter) (*transport, error) {
	if c.RabbitMq.HostName == "" {
		return inProcess(watermillLogger), nil
	}
	return overRabbitMQ(c, queues, logger)
}

// inProcess relays within the process. Publish returns only when every handler has
// acknowledged, so a row is marked published only then: a crash loses nothing. It
// needs all handlers subscribed before the first event.
func inProcess(logger watermill.LoggerAdapter) *transport {
	channel := newLaneChannel(logger)
	return &transport{
		publisher:  channel,
		subscriber: func(q plugin.Queue) (message.Subscriber, error) { return channel.subscriber(q.MaxInFlight), nil },
		hand: func(handler string, messages ...*message.Message) error {
			for _, msg := range messages {
				msg.Metadata.Set(schema.HeaderReplayFor, handler)
			}
			return channel.Publish(schema.Topic, messages...)
		},
		prepare:    func(context.Context) error { return nil },
		outage:     func(err error) bool { return errors.Is(err, errTransportClosed) },
		hopeless:   func(error) bool { return false },
		unroutable: func(error) bool { return false }, // every handler gets everything
		close:      channel.Close,
	}
}

func overRabbitMQ(c config.Config, queues []plugin.Queue, logger *slog.Logger) (*transport, error) {
	base, publishing := rabbitmq.Config{URL: c.RabbitMq.URL()}, publishing(c, queues)
	publisher, err := rabbitmq.NewPublisher(logger, publishing)
	if err != nil {
		return nil, fmt.Errorf("configure the RabbitMQ publisher: %w", err)
	}
	return &transport{
		publisher: publisher,
		subscriber: func(q plugin.Queue) (message.Subscriber, error) {
			own := base
			own.ConsumerGroup, own.BindingKeys, own.ConnectionName = q.Handler, q.BindingKeys, "rlapp "+q.Handler
			own.MaxInFlight = q.MaxInFlight
			return rabbitmq.NewSubscriber(logger, own)
		},
		hand:    publisher.Hand,
		waiting: publisher.Waiting,
		prepare: func(ctx context.Context) error { return rabbitmq.Declare(ctx, logger, publishing) },
		outage: func(err error) bool {
			var unavailable *rabbitmq.UnavailableError
			return errors.As(err, &unavailable)
		},
		hopeless: func(err error) bool {
			var unfit *rabbitmq.MessageError
			return isUnroutable(err) || errors.As(err, &unfit)
		},
		unroutable: isUnroutable,
		checks:     []httpapi.Check{{Name: "rabbitmq", Probe: publisher.Ping}},
		close:      publisher.Close,
	}, nil
}

// publishing is the config of a publisher that makes sure of queues: every queue is there
// before the first event, so none is lost to a handler that has never run.
func publishing(c config.Config, queues []plugin.Queue) rabbitmq.Config {
	config := rabbitmq.Config{URL: c.RabbitMq.URL(), Exchange: schema.Topic}
	for _, q := range queues {
		config.Groups = append(config.Groups, rabbitmq.Group{Name: q.Handler, BindingKeys: q.BindingKeys})
	}
	return config
}

func isUnroutable(err error) bool {
	var unroutable *rabbitmq.UnroutableError
	return errors.As(err, &unroutable)
}
