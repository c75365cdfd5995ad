package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// HandlerName is the name of the relay's handler in its router, in metrics and
// in the lag table. It is public API.
const HandlerName = "outbox.relay"

// ErrClosed is returned by Subscribe after Close.
var ErrClosed = errors.New("the outbox subscriber is closed")

// Config tunes a Subscriber. The zero value is ready for use.
type Config struct {
	// PollInterval is the safety net behind the wake-ups. Default: 5 s.
	PollInterval time.Duration
	// BatchSize is the most rows of one message. Twice as many may be published
	// again after a crash. Default: 1000.
	BatchSize int
	// ShareInterval is how often relays share the lanes anew: the time in which
	// they take over those of one that has ended. Default: 10 s.
	ShareInterval time.Duration
	// MaxAttempts is how often a row is tried before it is parked. Default: 5.
	MaxAttempts int
	// Schedule is the wait after each failure. Default: NewSchedule(30 s).
	Schedule Schedule
	// IsOutage says that an error tells about the transport, not about the event:
	// the row is tried again as soon as the transport is back and loses no
	// attempt. Default: no error does.
	IsOutage func(error) bool
	// IsUnroutable says that no queue takes an event: its row is parked as
	// UNROUTABLE. Default: no error does.
	IsUnroutable func(error) bool
	// OutageDelay is the first wait after an outage; it doubles up to ten times
	// its value. Default: 500 ms.
	OutageDelay time.Duration
	// CloseTimeout bounds the wait for the message that is being handled when the
	// relay stops. Default: 10 s.
	CloseTimeout time.Duration
	// Registerer takes the metrics. Default: none.
	Registerer prometheus.Registerer
	// Failures counts the events that could not be relayed, by the labels
	// event_name and handler. Default: they are not counted.
	Failures *prometheus.CounterVec
}

func (c *Config) setDefaults() {
	if c.PollInterval == 0 {
		c.PollInterval = 5 * time.Second
	}
	if c.BatchSize == 0 {
		c.BatchSize = 1000
	}
	if c.ShareInterval == 0 {
		c.ShareInterval = 10 * time.Second
	}
	if c.MaxAttempts == 0 {
		c.MaxAttempts = 5
	}
	if c.Schedule == nil {
		c.Schedule = NewSchedule(30 * time.Second)
	}
	if c.IsOutage == nil {
		c.IsOutage = func(error) bool { return false }
	}
	if c.IsUnroutable == nil {
		c.IsUnroutable = func(error) bool { return false }
	}
	if c.OutageDelay == 0 {
		c.OutageDelay = 500 * time.Millisecond
	}
	if c.CloseTimeout == 0 {
		c.CloseTimeout = 10 * time.Second
	}
}

func (c *Config) validate() error {
	var errs []error
	if c.PollInterval < 0 {
		errs = append(errs, errors.New("PollInterval must be positive"))
	}
	if c.ShareInterval < 0 {
		errs = append(errs, errors.New("ShareInterval must be positive"))
	}
	if c.BatchSize < 1 {
		errs = append(errs, errors.New("BatchSize must be at least 1"))
	}
	if c.MaxAttempts < 1 {
		errs = append(errs, errors.New("MaxAttempts must be at least 1"))
	}
	if len(c.Schedule) == 0 {
		errs = append(errs, errors.New("Schedule must have a step"))
	}
	return errors.Join(errs...)
}

// Subscriber emits the pending rows of waiting_room_outbox in the order of their
// ids, as many as there are in one message, for Watermill's forwarder with an
// Envelope and a Publisher. It marks rows published when their message is acked,
// and puts those that failed on the schedule; a queue's later events wait for an
// earlier one, except those that went in the same message.
//
// Any number of processes may subscribe: they share the lanes of the queues by
// advisory locks, and take over those of a session that ends. No transaction is
// open while a message is handled. A row may be published again after a crash, so
// consumers are idempotent.
type Subscriber struct {
	pool    *pgxpool.Pool
	logger  *slog.Logger
	config  Config
	metrics *metrics
	late    *late
	sweep   *sweep

	wake    chan struct{}
	closing chan struct{}
	close   sync.Once
	running sync.WaitGroup
}

var _ message.Subscriber = (*Subscriber)(nil)

// NewSubscriber returns a subscriber over the pool, or every mistake of the
// config at once.
func NewSubscriber(pool *pgxpool.Pool, logger *slog.Logger, config Config) (*Subscriber, error) {
	config.setDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("outbox config: %w", err)
	}
	metrics, err := newMetrics(pool, config.Registerer, config.Failures)
	if err != nil {
		return nil, err
	}
	return &Subscriber{
		pool:    pool,
		logger:  logger,
		config:  config,
		metrics: metrics,
		late:    newLate(),
		sweep:   newSweep(),
		wake:    make(chan struct{}, 1),
		closing: make(chan struct{}),
	}, nil
}

// Wake makes the relay look for rows now. It never blocks and is safe for
// concurrent use.
func (s *Subscriber) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Subscribe starts relaying until ctx ends or Close is called. The topic is the
// forwarder's and is not looked at: there is one outbox.
func (s *Subscriber) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	select {
	case <-s.closing:
		return nil, ErrClosed
	default:
	}
	out := make(chan *message.Message)
	ctx, cancel := context.WithCancel(ctx)
	s.running.Add(2)
	go func() {
		defer s.running.Done()
		defer cancel()
		select {
		case <-s.closing:
		case <-ctx.Done():
		}
	}()
	go func() {
		defer s.running.Done()
		defer close(out)
		var beside sync.WaitGroup
		beside.Go(func() { s.recordLate(ctx) })
		beside.Go(func() { s.sweepBacklog(ctx) })
		s.run(ctx, out)
		cancel()
		beside.Wait()
		s.writeLate(ctx) // also of the chunk that was in flight
	}()
	return out, nil
}

// Close stops relaying and waits until no row is being handled.
func (s *Subscriber) Close() error {
	s.close.Do(func() { close(s.closing) })
	s.running.Wait()
	return nil
}

// run leads whenever it can, until ctx ends.
func (s *Subscriber) run(ctx context.Context, out chan<- *message.Message) {
	for ctx.Err() == nil {
		if err := s.lead(ctx, out); err != nil && ctx.Err() == nil {
			s.logger.ErrorContext(ctx, "the relay lost the database; it will try again",
				"Component", "OutboxWorker", "error", err, "retryIn", s.config.OutageDelay)
			s.pause(ctx, s.config.OutageDelay)
		}
	}
}

// pause waits, at most until ctx ends.
func (s *Subscriber) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// idle waits for a wake-up or the next poll.
func (s *Subscriber) idle(ctx context.Context) {
	timer := time.NewTimer(s.config.PollInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-timer.C:
	}
}
