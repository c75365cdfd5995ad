package outbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	wmsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/rlapp/rlapp/adapters/outbox"
	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/schema"
)

// TestConformance runs Watermill's suite on the pair that the outbox is made of:
// watermill-sql's publisher with our schema, and our subscriber. An outbox has
// one topic, so each topic of the suite gets a database of its own.
func TestConformance(t *testing.T) {
	databases := &topicDatabases{t: t, pools: map[string]*pgxpool.Pool{}}
	features := tests.Features{
		GuaranteedOrder:                     true,
		GuaranteedOrderWithSingleSubscriber: true,
		Persistent:                          true,
	}
	tests.TestPubSub(t, features, func(t *testing.T) (message.Publisher, message.Subscriber) {
		subscriber := &suiteSubscriber{t: t, databases: databases, closing: make(chan struct{})}
		t.Cleanup(func() { _ = subscriber.Close() }) // the suite leaves some open
		return &suitePublisher{databases: databases}, subscriber
	}, nil)
}

type topicDatabases struct {
	t     *testing.T
	mu    sync.Mutex
	pools map[string]*pgxpool.Pool
}

func (d *topicDatabases) of(topic string) *pgxpool.Pool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pools[topic] == nil {
		d.pools[topic] = newPool(d.t)
	}
	return d.pools[topic]
}

// suitePublisher gives the suite's messages what an outbox row needs: JSON, and
// the headers of an event.
type suitePublisher struct {
	databases *topicDatabases
	mu        sync.RWMutex
	closed    bool
}

func (p *suitePublisher) Publish(topic string, messages ...*message.Message) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return wmsql.ErrPublisherClosed
	}
	db := stdlib.OpenDBFromPool(p.databases.of(topic))
	defer func() { _ = db.Close() }()
	publisher, err := wmsql.NewPublisher(db, wmsql.PublisherConfig{SchemaAdapter: postgres.OutboxSchema{}}, nil)
	if err != nil {
		return err
	}
	rows := make([]*message.Message, len(messages))
	for i, m := range messages {
		payload, err := json.Marshal(string(m.Payload))
		if err != nil {
			return err
		}
		rows[i] = message.NewMessage(m.UUID, payload)
		for name, value := range m.Metadata {
			rows[i].Metadata.Set("suite."+name, value)
		}
		rows[i].Metadata.Set(schema.HeaderAggregateID, "queue")
		rows[i].Metadata.Set(schema.HeaderEventName, "Event")
	}
	return publisher.Publish("outbox", rows...)
}

func (p *suitePublisher) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

// suiteSubscriber unwraps the envelopes that are meant for the forwarder.
type suiteSubscriber struct {
	t         *testing.T
	databases *topicDatabases
	mu        sync.Mutex
	inner     []*outbox.Subscriber
	group     sync.WaitGroup
	closing   chan struct{}
	once      sync.Once
}

func (s *suiteSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	inner, err := outbox.NewSubscriber(s.databases.of(topic), logger, outbox.Config{
		PollInterval: 10 * time.Millisecond, MaxAttempts: 1 << 30, Schedule: outbox.Schedule{time.Millisecond},
		CloseTimeout: 100 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.inner = append(s.inner, inner)
	s.mu.Unlock()
	envelopes, err := inner.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	s.group.Go(func() {
		defer close(out)
		for envelope := range envelopes {
			s.forward(ctx, envelope, out)
		}
	})
	return out, nil
}

// forward offers the events of a chunk one after another.
func (s *suiteSubscriber) forward(ctx context.Context, chunk *message.Message, out chan<- *message.Message) {
	offer := outbox.RecordFailure(func(*message.Message) ([]*message.Message, error) {
		return nil, outbox.NewPublisher(&offering{s, ctx, out}).Publish("", chunk)
	})
	if _, err := offer(chunk); err != nil {
		chunk.Nack()
	} else {
		chunk.Ack()
	}
}

// offering is the transport of the suite: it hands each event to its subscriber
// and waits for the ack.
type offering struct {
	s   *suiteSubscriber
	ctx context.Context
	out chan<- *message.Message
}

func (o *offering) Publish(_ string, events ...*message.Message) error {
	for i, e := range events {
		if err := o.offer(e); err != nil {
			var rest []string // in their order, so what follows waits as well
			for _, later := range events[i:] {
				rest = append(rest, later.UUID)
			}
			return &partial{err, rest}
		}
	}
	return nil
}

func (o *offering) offer(e *message.Message) error {
	var payload string
	if err := json.Unmarshal(e.Payload, &payload); err != nil {
		o.s.t.Error(err)
		return err
	}
	m := message.NewMessage(e.UUID, []byte(payload))
	for name, value := range e.Metadata {
		if own, ok := strings.CutPrefix(name, "suite."); ok {
			m.Metadata.Set(own, value)
		}
	}
	messageCtx, cancel := context.WithCancel(o.ctx)
	defer cancel()
	m.SetContext(messageCtx)
	select {
	case o.out <- m:
	case <-o.s.closing:
		return errors.New("closing")
	case <-o.ctx.Done():
		return o.ctx.Err()
	}
	select {
	case <-m.Acked():
		return nil
	case <-m.Nacked():
		return errors.New("nacked")
	case <-o.s.closing:
		return errors.New("closing")
	case <-o.ctx.Done():
		return o.ctx.Err()
	}
}

func (*offering) Close() error { return nil }

func (s *suiteSubscriber) Close() error {
	s.once.Do(func() { close(s.closing) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, inner := range s.inner {
		if err := inner.Close(); err != nil {
			return err
		}
	}
	s.group.Wait()
	return nil
}
