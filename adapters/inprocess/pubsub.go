package inprocess

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// ErrClosed is returned by Publish once Close was called, and by Subscribe after it.
var ErrClosed = errors.New("the in-process Pub/Sub is closed")

// NoSubscriberError is returned by Publish where nobody would get the message.
type NoSubscriberError struct{ Topic string }

func (e *NoSubscriberError) Error() string {
	return fmt.Sprintf("nobody is subscribed to topic %q", e.Topic)
}

// UnackedError is returned by Close when messages were given up: no subscriber
// was left to take them, or their acks did not come within the CloseTimeout.
type UnackedError struct{ Count int }

func (e *UnackedError) Error() string {
	return fmt.Sprintf("closed with %d messages not acked", e.Count)
}

// Config tunes a PubSub. The zero value is ready for use.
type Config struct {
	// MaxInFlight bounds the messages that are published and not yet acked, over
	// all topics, and with it the memory: each takes a goroutine while it is in
	// flight, and the goroutines are kept for the next messages. Default: 1024.
	MaxInFlight int
	// CloseTimeout bounds the wait of Close for outstanding acks. Default: 30 s.
	CloseTimeout time.Duration
}

func (c *Config) validate() error {
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 1024)
	c.CloseTimeout = cmp.Or(c.CloseTimeout, 30*time.Second)
	var errs []error
	if c.MaxInFlight < 0 {
		errs = append(errs, errors.New("MaxInFlight must be positive"))
	}
	if c.CloseTimeout < 0 {
		errs = append(errs, errors.New("CloseTimeout must be positive"))
	}
	return errors.Join(errs...)
}

// PubSub carries messages from publishers to subscribers in the same process.
// It is safe for concurrent use.
//
// A message is handled once: it goes to one of its topic's subscribers, again to
// any of them after each nack, at once, and never after its ack. The order of
// messages is not kept. A subscriber gets a copy with the context of the
// published message, values and cancellation alike; an ack does not cancel it.
type PubSub struct {
	config Config

	topics   map[string]*topic // nil after Close
	topicsMu sync.RWMutex

	publishing sync.RWMutex // held for reading by publishers, so that no carrier starts while Close waits for them
	closed     bool
	carriers   sync.WaitGroup // at most MaxInFlight
	places     chan struct{}  // holds one for each carrier
	jobs       chan job       // to an idle carrier

	close     func() error
	closing   chan struct{} // closed when Close begins
	abandoned chan struct{} // closed at the CloseTimeout
	unacked   atomic.Int64
}

// New returns a PubSub, or every mistake of the config at once.
func New(config Config) (*PubSub, error) {
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("in-process Pub/Sub config: %w", err)
	}
	p := &PubSub{
		config:    config,
		topics:    map[string]*topic{},
		places:    make(chan struct{}, config.MaxInFlight),
		jobs:      make(chan job),
		closing:   make(chan struct{}),
		abandoned: make(chan struct{}),
	}
	p.close = sync.OnceValue(p.shutdown)
	return p, nil
}

// job is a message on its way to a subscriber of a topic.
type job struct {
	topic *topic
	// published is the publisher's message. Nobody changes it any more, as
	// Watermill demands, so that each delivery can take a fresh copy.
	published *message.Message
	// delivery is the copy that a subscriber gets next.
	delivery *message.Message
}

// Publish hands the messages over and returns, without waiting for their acks.
// While MaxInFlight messages are in flight it blocks, until one is acked, the
// message's context ends (it returns that error) or the PubSub closes
// (ErrClosed). It returns *NoSubscriberError where the topic has no subscriber;
// see SubscribeInitialize. Messages before the one that failed are on their way.
func (p *PubSub) Publish(topic string, messages ...*message.Message) error {
	for _, msg := range messages {
		if err := p.publish(topic, msg); err != nil {
			return fmt.Errorf("publish to %q: %w", topic, err)
		}
	}
	return nil
}

func (p *PubSub) publish(name string, msg *message.Message) error {
	ctx := msg.Context()
	if err := ctx.Err(); err != nil {
		return err
	}
	p.publishing.RLock()
	defer p.publishing.RUnlock()
	if p.closed {
		return ErrClosed
	}
	t := p.openTopic(name)
	if t == nil {
		return &NoSubscriberError{Topic: name}
	}
	j := job{topic: t, published: msg, delivery: msg.CopyWithContext()}
	select {
	case p.jobs <- j: // an idle carrier rather than a new one
		return nil
	default:
	}
	select {
	case p.jobs <- j:
		return nil
	case p.places <- struct{}{}:
		p.carriers.Go(func() { p.carry(j) })
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.closing:
		return ErrClosed
	}
}

// carry sees its first job and then those of Publish through to their acks, one
// at a time, until Close. Watermill tells of an ack by closing a channel only,
// so somebody has to wait for each; carriers are reused, which spares a goroutine
// for each message.
func (p *PubSub) carry(j job) {
	p.deliver(j)
	for j := range p.jobs {
		p.deliver(j)
	}
}

// deliver returns when the message is acked or given up.
func (p *PubSub) deliver(j job) {
	for j.topic.send(j.delivery, p.closing, p.abandoned) {
		select {
		case <-j.delivery.Acked():
			return
		case <-j.delivery.Nacked():
			j.delivery = j.published.CopyWithContext()
		case <-p.abandoned:
			p.unacked.Add(1)
			return
		}
	}
	p.unacked.Add(1)
}

// Close stops Publish, waits until every message in flight is acked, at most
// the CloseTimeout, and closes the subscribers' channels. It returns
// *UnackedError when it gave messages up, also to later callers. Close before
// the subscribers' contexts end, or what they did not take yet is given up.
func (p *PubSub) Close() error { return p.close() }

func (p *PubSub) shutdown() error {
	close(p.closing)
	p.publishing.Lock() // blocked publishers have let go
	p.closed = true
	close(p.jobs) // idle carriers end
	p.publishing.Unlock()

	timer := time.AfterFunc(p.config.CloseTimeout, func() { close(p.abandoned) })
	p.carriers.Wait()
	timer.Stop()
	p.endTopics()
	if n := p.unacked.Load(); n > 0 {
		return &UnackedError{Count: int(n)}
	}
	return nil
}
