package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// patience bounds what is asked of the broker on a channel besides messages.
	// One that creates hundreds of quorum queues at once is slow, not away.
	patience = 30 * time.Second
	// farewell bounds the closing handshake of a connection. One that takes
	// longer is cut off, which loses nothing: the broker takes back what was not
	// acknowledged.
	farewell = time.Second
)

// connection is the AMQP connection of one publisher or subscriber. It is made
// when it is first needed and made anew after it was lost. It is safe for
// concurrent use.
type connection struct {
	config Config
	logger *slog.Logger

	life  context.Context //nolint:containedctx // ends with close
	end   context.CancelFunc
	turn  chan struct{} // holds a token while someone connects
	watch sync.WaitGroup

	current atomic.Pointer[session]

	// Attempts are paced: until retryAt callers are told lastErr. These three
	// belong to the holder of the turn.
	pace    backoff
	retryAt time.Time
	lastErr error
}

func newConnection(config Config, logger *slog.Logger) *connection {
	life, end := context.WithCancel(context.Background())
	return &connection{
		config: config,
		logger: logger,
		life:   life,
		end:    end,
		turn:   make(chan struct{}, 1),
		pace:   backoff{min: config.ReconnectDelay, max: config.MaxReconnectDelay},
	}
}

// session returns the connection as it is now, connecting first where there is
// none. Shortly after a failed attempt it returns that one's error at once.
func (c *connection) session(ctx context.Context) (*session, error) {
	if s := c.current.Load(); s != nil && !s.amqp.IsClosed() {
		return s, nil
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if s := c.current.Load(); s != nil && !s.amqp.IsClosed() {
		return s, nil // somebody else connected meanwhile
	}
	if c.life.Err() != nil {
		return nil, ErrClosed
	}
	if time.Now().Before(c.retryAt) {
		return nil, c.lastErr
	}
	return c.connect(ctx)
}

func (c *connection) connect(caller context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(caller, c.config.ConnectTimeout)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	s, err := dial(ctx, c.config)
	if errors.Is(ctx.Err(), context.Canceled) && err != nil {
		return nil, errors.Join(context.Cause(caller), err) // says nothing about the broker
	}
	if err != nil {
		wait := c.pace.next()
		c.lastErr, c.retryAt = err, time.Now().Add(wait)
		c.logger.WarnContext(ctx, "cannot connect to RabbitMQ", "retryIn", wait, "error", err)
		return nil, err
	}
	c.pace.reset()
	c.current.Store(s)
	c.logger.InfoContext(ctx, "connected to RabbitMQ", "broker", s.broker)
	c.watch.Go(func() { s.follow(c.logger) })
	return s, nil
}

// sever cuts the connection, whatever hangs on it.
func (c *connection) sever() {
	c.end()
	if s := c.current.Load(); s != nil {
		s.sever()
	}
}

// close ends the connection for good, within limit. No call may be at work on it.
func (c *connection) close(limit time.Duration) {
	c.end()
	c.turn <- struct{}{} // an attempt to connect ends with life
	defer func() { <-c.turn }()
	if s := c.current.Load(); s != nil {
		s.close(limit)
	}
	c.watch.Wait()
}

// session is one AMQP connection from its start to its loss.
type session struct {
	amqp   *amqp.Connection
	socket net.Conn
	broker string // host and port

	closed  chan *amqp.Error
	blocked chan amqp.Blocking
	// blocking is the broker's reason not to read from publishers; nil when it does.
	blocking atomic.Pointer[string]
}

func dial(ctx context.Context, config Config) (*session, error) {
	s := &session{closed: make(chan *amqp.Error, 1), blocked: make(chan amqp.Blocking)}
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(config.ConnectionName)
	abandon := func() bool { return true }
	conn, err := amqp.DialConfig(config.URL, amqp.Config{
		Properties: properties,
		Dial: func(network, address string) (net.Conn, error) {
			socket, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			s.socket, s.broker = socket, address
			// The handshake knows no context.
			abandon = context.AfterFunc(ctx, func() { _ = socket.Close() })
			return socket, nil
		},
	})
	if !abandon() {
		err = errors.Join(context.Cause(ctx), err)
	}
	if err != nil {
		s.sever()
		return nil, fmt.Errorf("connect: %w", err)
	}
	s.amqp = conn
	conn.NotifyClose(s.closed)
	conn.NotifyBlocked(s.blocked)
	return s, nil
}

// follow keeps up with what the broker says about the connection until it ends.
func (s *session) follow(logger *slog.Logger) {
	for b := range s.blocked {
		if b.Active {
			s.blocking.Store(&b.Reason)
			logger.Warn("RabbitMQ takes no messages for now", "broker", s.broker, "reason", b.Reason)
		} else {
			s.blocking.Store(nil)
			logger.Info("RabbitMQ takes messages again", "broker", s.broker)
		}
	}
	if err := <-s.closed; err != nil {
		logger.Warn("lost the connection to RabbitMQ", "broker", s.broker, "error", err)
	}
}

// blockedError says why the broker takes no messages; nil when it does.
func (s *session) blockedError() error {
	if reason := s.blocking.Load(); reason != nil {
		return fmt.Errorf("it takes no messages: %s", *reason)
	}
	return nil
}

// sever cuts the connection. It is what ends a write that the broker does not
// read and a request that it does not answer: the client library has neither
// timeout nor context for them.
func (s *session) sever() {
	if s.socket != nil {
		_ = s.socket.Close()
	}
}

// guard severs the session unless release is called before the deadline.
func (s *session) guard(deadline time.Time) (release func()) {
	timer := time.AfterFunc(time.Until(deadline), s.sever)
	return func() { timer.Stop() }
}

// open opens a channel and lets prepare work on it. A channel that could not be
// prepared is closed.
func (s *session) open(prepare func(*amqp.Channel) error) (*amqp.Channel, error) {
	defer s.guard(time.Now().Add(patience))()
	ch, err := s.amqp.Channel()
	if err != nil {
		return nil, unavailable(fmt.Errorf("open a channel: %w", err))
	}
	err = prepare(ch)
	if err == nil {
		return ch, nil
	}
	_ = ch.Close()
	if refusal := (*amqp.Error)(nil); errors.As(err, &refusal) && refusal.Server && refusal.Recover {
		return nil, err
	}
	return nil, unavailable(err)
}

// setUp declares things on a channel of its own. It returns the broker's refusal
// as it is, and *UnavailableError when there was no answer.
func (s *session) setUp(declare func(*amqp.Channel) error) error {
	ch, err := s.open(declare)
	if err != nil {
		return err
	}
	s.closeChannel(ch)
	return nil
}

// closeChannel returns what is unacknowledged on a channel to the broker.
func (s *session) closeChannel(ch *amqp.Channel) {
	defer s.guard(time.Now().Add(patience))()
	_ = ch.Close()
}

func (s *session) close(limit time.Duration) {
	if s.blocking.Load() != nil {
		s.sever() // the broker would not read our farewell
	}
	defer s.guard(time.Now().Add(limit))()
	_ = s.amqp.Close()
}
