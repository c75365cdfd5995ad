package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
)

// subscription is one Subscribe call: it hands out the messages of one queue,
// over as many connections as it takes.
type subscription struct {
	config Config
	group  Group
	words  wamqp.Config
	topic  string
	logger *slog.Logger
	conn   *connection
	out    chan *message.Message
	values context.Context //nolint:containedctx // for the messages: Subscribe's values without its end

	refusals backoff
}

// intake is a consumer on a channel of its own.
type intake struct {
	session    *session
	channel    *amqp.Channel
	deliveries <-chan amqp.Delivery
	closed     chan *amqp.Error
}

// errEnded says that the subscription's context ended.
var errEnded = errors.New("the subscription ended")

// run hands out messages until ctx ends, beginning with those of the given
// intake, if there is one.
func (s *subscription) run(ctx context.Context, in *intake) {
	defer close(s.out)
	for {
		if in != nil {
			err := s.consume(ctx, in)
			in.session.closeChannel(in.channel)
			if ctx.Err() == nil {
				s.logger.Warn("the consumer ended; starting it again", "error", err)
			}
		}
		// At least this long, so that a queue which ends every consumer at once
		// is no busy loop. Connecting is paced by the connection.
		if !pause(ctx, max(s.refusals.last, s.config.ReconnectDelay)) {
			return
		}
		in = s.open(ctx)
	}
}

// open declares the queue and starts to consume it. It returns nil when that is
// not possible now, which it or the connection has logged.
func (s *subscription) open(ctx context.Context) *intake {
	session, err := s.conn.session(ctx)
	if err != nil {
		return nil
	}
	in := &intake{session: session, closed: make(chan *amqp.Error, 1)}
	in.channel, err = session.open(func(ch *amqp.Channel) error {
		ch.NotifyClose(in.closed)
		in.deliveries, err = s.start(ch)
		return err
	})
	if err != nil {
		s.logger.Error("cannot consume", "retryIn", s.refusals.next(), "error", err)
		return nil
	}
	s.refusals.reset()
	s.logger.Info("consuming")
	return in
}

func (s *subscription) start(ch *amqp.Channel) (<-chan amqp.Delivery, error) {
	if err := declareGroup(ch, s.logger, s.config, s.topic, s.group); err != nil {
		return nil, err
	}
	consume := s.words.Consume
	if err := ch.Qos(consume.Qos.PrefetchCount, 0, false); err != nil {
		return nil, fmt.Errorf("set the prefetch: %w", err)
	}
	queue := s.words.Queue.GenerateName(s.topic)
	deliveries, err := ch.Consume(queue, consume.Consumer, false, false, false, false, nil)
	if err != nil {
		return nil, fmt.Errorf("consume %s: %w", queue, err)
	}
	return deliveries, nil
}

// consume hands out what arrives, until the consumer is lost or ctx ends.
func (s *subscription) consume(ctx context.Context, in *intake) error {
	h := &hand{subscription: s, intake: in}
	defer h.settle(ctx)
	return h.run(ctx)
}

// why says how a consumer was lost. A channel that is still open means that the
// broker cancelled the consumer, as it does when its queue is deleted.
func (in *intake) why() error {
	if !in.channel.IsClosed() {
		return errors.New("the broker cancelled it")
	}
	return lost(<-in.closed)
}

// lost turns the library's typed nil, for an orderly end, into an error.
func lost(reason *amqp.Error) error {
	if reason == nil {
		reason = amqp.ErrClosed
	}
	return fmt.Errorf("its channel was closed: %w", reason)
}

// bury moves a delivery that cannot be read to the dead-letter queue.
func (s *subscription) bury(d amqp.Delivery, cause error) error {
	s.logger.Error("a message cannot be read; it goes to the dead-letter queue",
		"queue", DeadLetterQueue(s.topic, s.group.Name), "routingKey", d.RoutingKey, "error", cause)
	if errors.Is(cause, ErrNoDelivery) {
		return cause
	}
	return d.Nack(false, false)
}
