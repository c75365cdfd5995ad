package rabbitmq

import (
	"context"
	"runtime"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
)

// hand is what a consumer has handed out, oldest first, and what it hands out
// next. It watches the oldest message only: what is acked behind it is found when
// its turn comes, so one goroutine serves any number of messages, and what was acked
// meanwhile is acknowledged to the broker in one frame. It belongs to one goroutine.
type hand struct {
	*subscription
	intake *intake

	inHand []*handed
	next   *handed // waits to be handed out; nil where there is none

	// again says that the oldest was nacked and is to be handed out once more, when
	// pausing has passed.
	again   bool
	pausing <-chan time.Time
}

// handed is a delivery with the message that it is handed out as.
type handed struct {
	delivery amqp.Delivery
	message  *message.Message
	release  context.CancelFunc
	delay    *backoff // of a message that was nacked
}

// possible are the channels of what can happen next. What cannot stays nil, and a
// select waits for it for ever.
type possible struct {
	deliveries    <-chan amqp.Delivery
	out           chan<- *message.Message
	offered       *message.Message
	acked, nacked <-chan struct{}
}

func (h *hand) possible() (p possible) {
	if h.next == nil && len(h.inHand) < h.config.MaxInFlight {
		p.deliveries = h.intake.deliveries
	}
	if h.again && h.pausing == nil {
		p.out, p.offered = h.out, h.inHand[0].message
	} else if h.next != nil {
		p.out, p.offered = h.out, h.next.message
	}
	if len(h.inHand) > 0 && !h.again {
		p.acked, p.nacked = h.inHand[0].message.Acked(), h.inHand[0].message.Nacked()
	}
	return p
}

// run hands out and acknowledges, until the consumer is lost or ctx ends.
func (h *hand) run(ctx context.Context) error {
	for {
		p := h.possible()
		var err error
		select {
		case <-ctx.Done():
			return errEnded
		case reason := <-h.intake.closed:
			return lost(reason)
		case d, open := <-p.deliveries:
			if !open {
				return h.intake.why()
			}
			err = h.take(d)
		case p.out <- p.offered:
			h.handedOut()
		case <-h.pausing:
			h.pausing = nil
		case <-p.acked:
			err = h.acknowledge()
		case <-p.nacked:
			err = h.repeat()
		}
		if err != nil {
			return err
		}
	}
}

// take makes a delivery the next message. One that cannot be read is buried.
func (h *hand) take(d amqp.Delivery) error {
	msg, err := h.words.Marshaler.Unmarshal(d)
	if err != nil {
		return h.bury(d, err)
	}
	h.next = &handed{delivery: d}
	h.dress(h.next, msg)
	return nil
}

// dress gives a message a context of its own, which ends when it is done with.
func (h *hand) dress(one *handed, msg *message.Message) {
	own, release := context.WithCancel(h.values)
	msg.SetContext(own)
	one.message, one.release = msg, release
}

// handedOut moves the message that was offered into the hand.
func (h *hand) handedOut() {
	if h.again && h.pausing == nil {
		h.again = false
		return
	}
	h.inHand, h.next = append(h.inHand, h.next), nil
}

// acknowledge tells the broker of the oldest message and of all behind it that are
// acked too.
func (h *hand) acknowledge() error {
	if len(h.inHand) > 1 {
		// Handlers that were answered together ack one after another: let them.
		runtime.Gosched()
	}
	n := 0
	for n < len(h.inHand) && isClosed(h.inHand[n].message.Acked()) {
		h.inHand[n].release()
		n++
	}
	last := h.inHand[n-1].delivery
	h.inHand = append(h.inHand[:0], h.inHand[n:]...)
	return last.Ack(n > 1)
}

// repeat has the oldest message, which was nacked, handed out once more after a
// delay: from here and not by the broker, which would put it behind others, and at
// once.
func (h *hand) repeat() error {
	oldest := h.inHand[0]
	oldest.release()
	msg, err := h.words.Marshaler.Unmarshal(oldest.delivery)
	if err != nil {
		return err // it could be read before
	}
	msg.Metadata.Set(RedeliveredKey, "true")
	h.dress(oldest, msg)
	if oldest.delay == nil {
		oldest.delay = &backoff{min: h.config.RedeliveryDelay, max: h.config.MaxRedeliveryDelay}
	}
	h.again, h.pausing = true, time.After(oldest.delay.next())
	return nil
}

// settle waits until handlers are done with the messages in hand, and acknowledges
// what they ack. When ctx ends they still have Config.CloseTimeout to finish, which
// spares redeliveries. The broker delivers the others again.
func (h *hand) settle(ctx context.Context) {
	if h.next != nil {
		h.next.release()
	}
	ended := ctx.Done()
	var deadline <-chan time.Time
	expired := false
	for i, one := range h.inHand {
		for waits := !expired && !(i == 0 && h.again); waits; {
			select {
			case <-one.message.Acked():
				waits = false
			case <-one.message.Nacked():
				waits = false
			case <-ended:
				timer := time.NewTimer(h.config.CloseTimeout)
				defer timer.Stop()
				ended, deadline = nil, timer.C
			case <-deadline:
				waits, expired = false, true
			}
		}
		if isClosed(one.message.Acked()) {
			_ = one.delivery.Ack(false) // fails where the channel is lost: it comes again
		}
		one.release()
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
