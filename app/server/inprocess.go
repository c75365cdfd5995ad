package server

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/rlapp/rlapp/schema"
)

// inProcessLanes is how many events are on their way within the process at a time:
// one of each lane, which bounds what the projections put into one transaction.
const inProcessLanes = 64

// errTransportClosed says that events were not acknowledged when the transport closed.
var errTransportClosed = errors.New("the in-process transport is closed")

// undeliveredError names the messages of a Publish call that were not acknowledged.
// All others were.
type undeliveredError struct {
	ids []string
	err error
}

func (e *undeliveredError) Error() string            { return fmt.Sprintf("%d events: %v", len(e.ids), e.err) }
func (e *undeliveredError) Unwrap() error            { return e.err }
func (e *undeliveredError) FailedMessages() []string { return e.ids }

// laneChannel is Watermill's GoChannel with lanes. A GoChannel hands out one message
// of a topic after another, each when the one before was acknowledged; here each
// lane of queues has a topic of its own, so that the queues need not wait for one
// another. It is safe for concurrent use.
type laneChannel struct {
	channel *gochannel.GoChannel
	closing chan struct{}
	close   func() error
	merging sync.WaitGroup
}

var (
	_ message.Publisher  = (*laneChannel)(nil)
	_ message.Subscriber = laneSubscriber{}
)

func newLaneChannel(logger watermill.LoggerAdapter) *laneChannel {
	l := &laneChannel{
		channel: gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, logger),
		closing: make(chan struct{}),
	}
	l.close = sync.OnceValue(func() error {
		close(l.closing)
		err := l.channel.Close()
		l.merging.Wait()
		return err
	})
	return l
}

func laneTopic(topic string, lane int) string { return topic + "." + strconv.Itoa(lane) }

// laneOf is the lane of an event's queue, of more lanes than RabbitMQ's routing has.
func laneOf(msg *message.Message) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(msg.Metadata.Get(schema.HeaderAggregateID)))
	return int(h.Sum32() % inProcessLanes)
}

// Publish returns when every subscriber has acknowledged the messages, with
// *undeliveredError for those of which that is not known. Messages of one queue are
// handed out in their order, and none once the context of one has ended.
func (l *laneChannel) Publish(topic string, messages ...*message.Message) error {
	var lanes [inProcessLanes][]*message.Message
	for _, msg := range messages {
		lane := laneOf(msg)
		lanes[lane] = append(lanes[lane], msg)
	}
	var outcomes [inProcessLanes]error
	var publishing sync.WaitGroup
	for lane, some := range lanes {
		if len(some) > 0 {
			publishing.Go(func() { outcomes[lane] = l.publish(laneTopic(topic, lane), some) })
		}
	}
	publishing.Wait()
	return errors.Join(outcomes[:]...)
}

func (l *laneChannel) publish(topic string, messages []*message.Message) error {
	for i, msg := range messages {
		err := msg.Context().Err()
		if err == nil {
			err = l.hand(topic, msg)
		}
		if err != nil {
			failed := &undeliveredError{err: err}
			for _, rest := range messages[i:] {
				failed.ids = append(failed.ids, rest.UUID)
			}
			return failed
		}
	}
	return nil
}

// hand hands one message out. A GoChannel that closes returns from Publish as if the
// message had been acknowledged.
func (l *laneChannel) hand(topic string, msg *message.Message) error {
	err := l.channel.Publish(topic, msg)
	select {
	case <-l.closing:
		return errTransportClosed
	default:
		return err
	}
}

// subscriber returns the end of one handler, which takes at most maxInFlight messages
// at a time, at least one.
func (l *laneChannel) subscriber(maxInFlight int) message.Subscriber {
	return laneSubscriber{laneChannel: l, maxInFlight: max(1, maxInFlight)}
}

// laneSubscriber is the end of one handler.
type laneSubscriber struct {
	*laneChannel
	maxInFlight int
}

// Subscribe hands out the messages of all lanes, of each one at a time, until ctx
// ends or Close is called.
func (s laneSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	ctx, cancel := context.WithCancel(ctx)
	h := &handOut{
		places: make(chan struct{}, s.maxInFlight), out: make(chan *message.Message), ended: ctx.Done(), closing: s.closing,
	}
	var lanes sync.WaitGroup
	for lane := range inProcessLanes {
		messages, err := s.channel.Subscribe(ctx, laneTopic(topic, lane))
		if err != nil {
			cancel()
			lanes.Wait()
			return nil, fmt.Errorf("subscribe to lane %d of %s: %w", lane, topic, err)
		}
		lanes.Go(func() { h.pass(messages) })
	}
	s.merging.Go(func() {
		defer cancel()
		lanes.Wait()
		close(h.out)
	})
	return h.out, nil
}

// handOut is where the lanes of one subscription come together.
type handOut struct {
	places         chan struct{} // one for each message in flight
	out            chan *message.Message
	ended, closing <-chan struct{}
}

// pass hands the messages of a lane on until their channel closes. One that nobody
// takes any more stays unacknowledged, which Publish reports.
func (h *handOut) pass(messages <-chan *message.Message) {
	for msg := range messages {
		select {
		case h.places <- struct{}{}:
			h.hand(msg)
			<-h.places
		case <-h.ended:
		case <-h.closing:
		}
	}
}

// hand waits until a message is taken and dealt with.
func (h *handOut) hand(msg *message.Message) {
	select {
	case h.out <- msg:
	case <-h.ended:
		return
	case <-h.closing:
		return
	}
	select {
	case <-msg.Acked():
	case <-msg.Nacked():
	case <-h.ended:
	case <-h.closing:
	}
}

// Close ends the subscriptions and waits for them. It may be called more than once.
func (l *laneChannel) Close() error { return l.close() }
