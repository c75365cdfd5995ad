package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/app/server"
	"github.com/rlapp/rlapp/schema"
)

// eventOf is the nth event of a queue.
func eventOf(queue string, n int) *message.Message {
	msg := message.NewMessage(fmt.Sprintf("%s-%d", queue, n), nil)
	msg.Metadata.Set(schema.HeaderAggregateID, queue)
	return msg
}

// published returns how a Publish call ends.
func published(l message.Publisher, messages ...*message.Message) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- l.Publish(schema.Topic, messages...) }()
	return ended
}

func take[T any](t *testing.T, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(patience):
		t.Fatalf("nothing came within %v", patience)
	}
	return value
}

func newLaneChannel(t *testing.T) (channel server.LaneChannel, messages <-chan *message.Message) {
	t.Helper()
	channel = server.NewLaneChannel(watermill.NopLogger{})
	t.Cleanup(func() {
		if err := channel.Close(); err != nil {
			t.Error(err)
		}
	})
	messages, err := channel.Subscriber(100).Subscribe(t.Context(), schema.Topic)
	if err != nil {
		t.Fatal(err)
	}
	return channel, messages
}

// A queue whose handler is at work holds up none of another lane, its own events
// follow in their order, and Publish ends with the last acknowledgement.
func TestQueuesTravelBesideEachOther(t *testing.T) {
	channel, messages := newLaneChannel(t)
	ended := published(channel, eventOf("slow", 0), eventOf("slow", 1), eventOf("a", 0), eventOf("a", 1), eventOf("b", 0))
	var slow *message.Message
	var order []string
	for len(order) < 3 {
		msg := take(t, messages)
		if msg.Metadata.Get(schema.HeaderAggregateID) == "slow" {
			if slow != nil {
				t.Fatalf("%s came before %s was acknowledged", msg.UUID, slow.UUID)
			}
			slow = msg
			continue
		}
		order = append(order, msg.UUID)
		msg.Ack()
	}
	if slices.Index(order, "a-0") > slices.Index(order, "a-1") || !slices.Contains(order, "b-0") {
		t.Errorf("order %v", order)
	}
	if slow == nil {
		slow = take(t, messages)
	}
	select {
	case err := <-ended:
		t.Fatalf("Publish ended before the last acknowledgement: %v", err)
	default:
	}
	slow.Nack()
	if again := take(t, messages); again.UUID != "slow-0" {
		t.Errorf("after a nack came %s", again.UUID)
	} else {
		again.Ack()
	}
	take(t, messages).Ack()
	if err := take(t, ended); err != nil {
		t.Error(err)
	}
}

func TestEverySubscriberGetsEveryMessage(t *testing.T) {
	channel, first := newLaneChannel(t)
	second, err := channel.Subscriber(100).Subscribe(t.Context(), schema.Topic)
	if err != nil {
		t.Fatal(err)
	}
	ended := published(channel, eventOf("a", 0))
	take(t, first).Ack()
	take(t, second).Ack()
	if err := take(t, ended); err != nil {
		t.Error(err)
	}
}

// A handler that takes one message at a time gets one at a time.
func TestAHandlerTakesNoMoreThanItsMessagesInFlight(t *testing.T) {
	channel := server.NewLaneChannel(watermill.NopLogger{})
	messages, err := channel.Subscriber(1).Subscribe(t.Context(), schema.Topic)
	if err != nil {
		t.Fatal(err)
	}
	var events []*message.Message
	for n := range 200 {
		events = append(events, eventOf(fmt.Sprint(n), 0))
	}
	ended := published(channel, events...)
	for range events {
		msg := take(t, messages)
		select {
		case another := <-messages:
			t.Fatalf("%s came beside %s", another.UUID, msg.UUID)
		default:
		}
		msg.Ack()
	}
	if err := errors.Join(take(t, ended), channel.Close()); err != nil {
		t.Error(err)
	}
}

// What was not acknowledged is named, so that its rows stay in the outbox.
func TestAnEndNamesWhatWasNotAcknowledged(t *testing.T) {
	t.Run("of the transport", func(t *testing.T) {
		channel, messages := newLaneChannel(t)
		ended := published(channel, eventOf("a", 0), eventOf("a", 1), eventOf("a", 2))
		take(t, messages).Ack()
		take(t, messages) // a-1 is being handled
		if err := channel.Close(); err != nil {
			t.Fatal(err)
		}
		wantUndelivered(t, take(t, ended), "a-1", "a-2")
		if _, open := <-messages; open {
			t.Error("the subscription is open")
		}
	})
	t.Run("of the relay", func(t *testing.T) {
		channel, messages := newLaneChannel(t)
		ctx, cancel := context.WithCancel(t.Context())
		first, second := eventOf("a", 0), eventOf("a", 1)
		first.SetContext(ctx)
		second.SetContext(ctx)
		ended := published(channel, first, second)
		msg := take(t, messages)
		cancel()
		msg.Ack() // what is in hand is finished, and nothing more begun
		wantUndelivered(t, take(t, ended), "a-1")
	})
}

func wantUndelivered(t *testing.T, err error, want ...string) {
	t.Helper()
	var partial interface{ FailedMessages() []string }
	if !errors.As(err, &partial) {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(want, partial.FailedMessages()); diff != "" {
		t.Errorf("undelivered (-want +got):\n%s", diff)
	}
}
