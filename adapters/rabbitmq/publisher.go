package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
)

// maxSenders is how many Publish calls of one publisher are at work at a time;
// more wait their turn. Each has a channel of its own, and channels cost the
// broker memory.
const maxSenders = 16

// Publisher is a message.Publisher that returns once the broker has stored the
// messages. It connects at the first Publish and anew after a loss, so it can be
// made while the broker is away. It is safe for concurrent use.
type Publisher struct {
	config     Config
	vocabulary wamqp.Config
	logger     *slog.Logger
	conn       *connection
	slots      chan struct{}

	mu       sync.Mutex
	closed   bool
	calls    sync.WaitGroup
	idle     []*sender
	declared map[string]declaration // by topic
}

// declaration is what a topic was last declared on, and when.
type declaration struct {
	on *session
	at time.Time
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher returns a publisher, or every mistake of the config at once. It
// does not connect.
func NewPublisher(logger *slog.Logger, config Config) (*Publisher, error) {
	config.setDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("rabbitmq config: %w", err)
	}
	logger = logger.With("client", "publisher")
	return &Publisher{
		config:     config,
		vocabulary: config.vocabulary(Group{}),
		logger:     logger,
		conn:       newConnection(config, logger),
		slots:      make(chan struct{}, maxSenders),
		declared:   map[string]declaration{},
	}, nil
}

// parcel is a message on its way.
type parcel struct {
	uuid, key  string
	publishing amqp.Publishing
}

// Publish sends the messages to the exchange named topic, which it declares, and
// waits until the broker has stored every one of them. It returns
//
//   - *UnavailableError when the broker cannot be asked, at once where that is
//     known, and after Config.ConfirmTimeout at the latest;
//   - *UnroutableError for messages that no queue takes, and *NackedError for
//     those that the broker refuses, as one that is too large; the others of the
//     call were published. Several may be joined. The call after an
//     *UnroutableError declares Config.Groups anew, so that it may succeed where
//     somebody had deleted a queue or a binding;
//   - *MessageError for a message that cannot travel; nothing was sent;
//   - the context's error when the context of one of the messages ends; some may
//     have arrived;
//   - ErrClosed after Close.
//
// Messages of one call arrive in their order. Those before one that is too large
// may arrive twice.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	if err := checkTopic(topic); err != nil {
		return err
	}
	parcels, err := p.pack(topic, messages)
	if err != nil || len(parcels) == 0 {
		return err
	}
	return p.dispatch(route{topic: topic, exchange: topic}, parcels, messages)
}

// Hand publishes messages to the queue of one consumer group at Config.Exchange alone,
// as a replay does. Its errors are those of Publish; without the queue it is
// *UnroutableError.
func (p *Publisher) Hand(group string, messages ...*message.Message) error {
	parcels, err := p.pack(p.config.Exchange, messages)
	if err != nil || len(parcels) == 0 {
		return err
	}
	for i := range parcels {
		parcels[i].key = QueueName(p.config.Exchange, group)
	}
	return p.dispatch(route{topic: p.config.Exchange, exchange: ""}, parcels, messages)
}

// route is where parcels go: by an exchange, of which the broker's own, without a
// name, has every queue under its name. topic is what is declared before.
type route struct{ topic, exchange string }

func (p *Publisher) dispatch(to route, parcels []parcel, messages []*message.Message) error {
	if !p.begin() {
		return ErrClosed
	}
	defer p.calls.Done()

	ctx, cancel := p.limit(messages)
	defer cancel()
	err := p.publish(ctx, to, parcels)
	if own := (*canceledError)(nil); errors.As(err, &own) {
		return own.error
	}
	return err
}

func (p *Publisher) pack(topic string, messages []*message.Message) ([]parcel, error) {
	parcels := make([]parcel, len(messages))
	for i, msg := range messages {
		publishing, err := p.vocabulary.Marshaler.Marshal(msg)
		if err != nil {
			return nil, err
		}
		key := routingKey(p.vocabulary.Publish.GenerateRoutingKey(topic), msg)
		if len(key) > maxShort {
			return nil, &MessageError{msg.UUID, fmt.Sprintf("its routing key has more than %d bytes", maxShort)}
		}
		parcels[i] = parcel{uuid: msg.UUID, key: key, publishing: publishing}
	}
	return parcels, nil
}

// begin counts a call in, unless the publisher is closed.
func (p *Publisher) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.calls.Add(1)
	return true
}

// canceledError tells the end of a message's own context from our timeout.
type canceledError struct{ error }

var errNoAnswer = errors.New("it did not answer in time")

// limit returns the context of one call: it ends with ConfirmTimeout, with the
// context of any of the messages, and when Close has waited long enough.
func (p *Publisher) limit(messages []*message.Message) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(p.conn.life)
	ctx, stopTimer := context.WithTimeoutCause(ctx, p.config.ConfirmTimeout, errNoAnswer)
	stops := []func() bool{}
	var watched <-chan struct{}
	for _, msg := range messages {
		own := msg.Context()
		if own.Done() == nil || own.Done() == watched {
			continue // messages of one call mostly share their context
		}
		watched = own.Done()
		stops = append(stops, context.AfterFunc(own, func() {
			cancel(&canceledError{fmt.Errorf("publish: %w", context.Cause(own))})
		}))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		stopTimer()
		cancel(nil)
	}
}

func (p *Publisher) publish(ctx context.Context, to route, parcels []parcel) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
	return p.deliver(ctx, to, parcels)
}

// deliver sends the parcels, and where the broker refuses one without saying which,
// each half of them on its own, until that one is found.
func (p *Publisher) deliver(ctx context.Context, to route, parcels []parcel) error {
	sender, err := p.acquire(ctx, to.topic)
	if err != nil {
		return unavailable(err)
	}
	outcome, err := sender.send(ctx, to.exchange, parcels)
	if err == nil {
		if len(outcome.unroutable) > 0 {
			p.forget(to.topic)
		}
		p.release(sender)
		return outcome.err()
	}
	p.discard(to.topic, sender, err)
	refusal := (*amqp.Error)(nil)
	switch {
	case !errors.As(err, &refusal) || refusal.Code != amqp.PreconditionFailed:
		return unavailable(err)
	case len(parcels) > 1:
		return p.deliverHalves(ctx, to, parcels)
	}
	return &NackedError{MessageUUIDs: []string{parcels[0].uuid}, Reason: refusal.Reason}
}

func (p *Publisher) deliverHalves(ctx context.Context, to route, parcels []parcel) error {
	var errs []error
	for half := range slices.Chunk(parcels, (len(parcels)+1)/2) {
		err := p.deliver(ctx, to, half)
		if away := (*UnavailableError)(nil); errors.As(err, &away) {
			return err // that is all there is to say about the call
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// acquire returns a sender on the present connection for a topic that is
// declared there.
func (p *Publisher) acquire(ctx context.Context, topic string) (*sender, error) {
	session, err := p.conn.session(ctx)
	if err != nil {
		return nil, err
	}
	if err := session.blockedError(); err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	defer session.guard(deadline)()
	if err := p.declare(session, topic); err != nil {
		return nil, err
	}
	if s := p.takeIdle(session); s != nil {
		return s, nil
	}
	return newSender(session)
}

// declare makes sure of a topic once a connection, and meanwhile, so that what somebody
// deleted does not stay away, every Config.RedeclareInterval, which nobody waits for. Two
// calls may both do it: it changes nothing the second time.
func (p *Publisher) declare(session *session, topic string) error {
	known, due := p.isDeclared(session, topic)
	switch {
	case due:
		p.conn.watch.Go(func() { // ends with the session at the latest
			if err := p.makeSure(session, topic); err != nil {
				p.logger.Warn("cannot declare the queues anew; it is tried again", "broker", session.broker, "error", err)
			}
		})
		return nil
	case known:
		return nil
	}
	return p.makeSure(session, topic)
}

// isDeclared reports whether a topic is declared on a session, and whether it is up to
// the caller to do it once more: that is so for one caller only.
func (p *Publisher) isDeclared(session *session, topic string) (known, due bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.declared[topic]
	known = d.on == session
	if due = known && topic == p.config.Exchange && time.Since(d.at) >= p.config.RedeclareInterval; due {
		p.declared[topic] = declaration{session, time.Now()}
	}
	return known, due
}

func (p *Publisher) makeSure(session *session, topic string) error {
	err := session.setUp(func(ch *amqp.Channel) error {
		return declareExchange(ch, p.logger, p.config, topic)
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.declared[topic] = declaration{session, time.Now()}
	return nil
}

func (p *Publisher) takeIdle(session *session) *sender {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		s := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if s.session == session && !s.channel.IsClosed() {
			return s
		}
	}
	return nil
}

func (p *Publisher) release(s *sender) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, s)
}

// forget has the next call declare a topic again: its exchange, or a queue or binding,
// may be gone.
func (p *Publisher) forget(topic string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.declared, topic)
}

// discard gives up a sender that failed. A broker that does not answer, and does not
// say that it is blocked either, may have vanished behind a silent network: that
// connection is given up as well.
func (p *Publisher) discard(topic string, s *sender, err error) {
	p.forget(topic)
	if errors.Is(err, errNoAnswer) && s.session.blockedError() == nil {
		p.logger.Warn("RabbitMQ does not answer; connecting anew", "broker", s.session.broker)
		s.session.sever()
	}
	p.conn.watch.Go(func() { _ = s.channel.Close() }) // ends with the session at the latest
}

// Close waits for the calls at work, at most Config.CloseTimeout, and
// disconnects. Calls that are still at work then return *UnavailableError. It
// returns nil always and may be called more than once.
func (p *Publisher) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	deadline := time.Now().Add(p.config.CloseTimeout)
	timer := time.AfterFunc(p.config.CloseTimeout, p.conn.sever)
	defer timer.Stop()
	p.calls.Wait()
	p.conn.close(min(farewell, time.Until(deadline)))
	return nil
}
