package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
)

// Subscriber is a message.Subscriber over the queues of one consumer group. It
// connects when it is first needed and for ever anew after a loss. It is safe
// for concurrent use; its subscriptions share one connection.
type Subscriber struct {
	config Config
	group  Group
	logger *slog.Logger
	conn   *connection

	stopping context.Context //nolint:containedctx // ends at the start of Close
	stop     context.CancelFunc

	mu      sync.Mutex
	running sync.WaitGroup
}

var (
	_ message.Subscriber           = (*Subscriber)(nil)
	_ message.SubscribeInitializer = (*Subscriber)(nil)
)

// NewSubscriber returns a subscriber, or every mistake of the config at once. It
// does not connect.
func NewSubscriber(logger *slog.Logger, config Config) (*Subscriber, error) {
	config.setDefaults()
	if err := errors.Join(config.validate(), config.group().check()); err != nil {
		return nil, fmt.Errorf("rabbitmq config: %w", err)
	}
	logger = logger.With("client", "subscriber", "group", config.ConsumerGroup)
	stopping, stop := context.WithCancel(context.Background())
	return &Subscriber{
		config:   config,
		group:    config.group(),
		logger:   logger,
		conn:     newConnection(config, logger),
		stopping: stopping,
		stop:     stop,
	}, nil
}

// SubscribeInitialize declares the group's queue at the exchange named topic. It
// makes one attempt and returns *UnavailableError when the broker is away, and
// the broker's refusal when the queue exists with other properties.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	if err := checkTopic(topic); err != nil {
		return err
	}
	if !s.begin() {
		return ErrClosed
	}
	defer s.running.Done()
	session, err := s.conn.session(s.stopping)
	if err != nil {
		return unavailable(err)
	}
	return session.setUp(func(ch *amqp.Channel) error {
		return declareGroup(ch, s.logger, s.config, topic, s.group)
	})
}

// Subscribe hands out the messages of the group's queue, which it declares, up to
// Config.MaxInFlight before their acks. With 1 the next message comes once the last
// one is acked; a nacked one comes again, after a growing delay, before all others,
// so order holds. With more, a nacked one comes again once all before it are acked,
// and the broker learns of an ack together with those before it. Messages may come
// more than once: then, as far as the broker knows, metadata RedeliveredKey is
// "true".
//
// A broker that is away is no error: the subscription starts when it is back. If
// it is there, the queue exists when Subscribe returns. A message that cannot be
// read goes to the dead-letter queue.
//
// The channel is closed after ctx ended or Close. Until then the messages in
// hand may still be acked, for Config.CloseTimeout, and their contexts live as long;
// what was not acked goes back to the broker. It returns ErrClosed after Close,
// and an error for a name that cannot be an exchange's.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := checkTopic(topic); err != nil {
		return nil, err
	}
	if !s.begin() {
		return nil, ErrClosed
	}
	sub := &subscription{
		config:   s.config,
		group:    s.group,
		words:    s.config.vocabulary(s.group),
		topic:    topic,
		logger:   s.logger.With("exchange", topic),
		conn:     s.conn,
		out:      make(chan *message.Message),
		values:   context.WithoutCancel(ctx),
		refusals: backoff{min: s.config.ReconnectDelay, max: s.config.MaxReconnectDelay},
	}
	ctx, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(s.stopping, cancel)
	first := sub.open(ctx)
	go func() {
		defer s.running.Done()
		defer cancel()
		defer unlink()
		sub.run(ctx, first)
	}()
	return sub.out, nil
}

// begin counts a call or subscription in, unless the subscriber is closed.
func (s *Subscriber) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Err() != nil {
		return false
	}
	s.running.Add(1)
	return true
}

// Close ends all subscriptions and disconnects. It waits for the messages in
// hand, at most Config.CloseTimeout and a second. It returns nil always and may
// be called more than once.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	timer := time.AfterFunc(s.config.CloseTimeout+farewell, s.conn.sever)
	defer timer.Stop()
	s.running.Wait()
	s.conn.close(farewell)
	return nil
}
