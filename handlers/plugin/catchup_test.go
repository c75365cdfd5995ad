package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/handlers/catchup"
	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/schema"
)

// What was published while the binding was away reaches the handler all the same, once,
// and what it is done with does not come again.
func TestWhatABindingMissedIsSent(t *testing.T) {
	d := newDesk(t)
	d.open()
	d.checkIn(2)
	d.wants("1", "2")
	d.onBroker(func(channel *amqp.Channel, queue string) error {
		return channel.QueueUnbind(queue, "PatientCheckedIn.*", schema.Topic, nil)
	})
	d.checkIn(2)
	d.onBroker(func(channel *amqp.Channel, queue string) error {
		return channel.QueueBind(queue, "PatientCheckedIn.*", schema.Topic, false, nil)
	})
	d.checkIn(1)
	d.wants("1", "2", "5")
	d.look(0)
	d.look(catchup.SettledAfter - 1)
	d.sent(0)
	d.look(1)
	d.wants("1", "2", "5", "3", "4")
	d.sent(2)
	d.look(time.Minute)
	d.checkIn(1)
	d.wants("1", "2", "5", "3", "4", "6")
	d.settle()
	d.sent(2)
}

// So does what a deleted queue held.
func TestWhatAQueueHeldIsSent(t *testing.T) {
	d := newDesk(t)
	d.checkIn(3)
	d.onBroker(func(channel *amqp.Channel, queue string) error {
		n, err := channel.QueueDelete(queue, false, false, false)
		if n != 3 {
			err = errors.Join(err, fmt.Errorf("the queue held %d messages", n))
		}
		return err
	})
	d.open() // makes it anew
	d.settle()
	d.wants("1", "2", "3")
	d.sent(3)
}

// What waits in the queue of a handler that does not run is not missed.
func TestWhatWaitsIsNotMissed(t *testing.T) {
	d := newDesk(t)
	d.checkIn(3)
	d.settle()
	d.look(time.Hour)
	d.sent(0)
	d.open()
	d.wants("1", "2", "3")
	d.look(time.Hour)
	d.sent(0)
}

// A handler that takes long may be sent what it has at hand, which it leaves, and not
// again and again.
func TestASlowHandlerHandlesAnEventOnce(t *testing.T) {
	d := newDesk(t)
	d.hold()
	d.open()
	d.checkIn(3)
	d.waits(0)
	d.settle()
	d.sent(3)
	d.waits(0)
	d.look(9 * time.Second)
	d.sent(3)
	d.look(time.Second)
	d.sent(6)
	d.look(19 * time.Second)
	d.sent(6)
	d.release()
	d.wants("1", "2", "3")
	d.checkIn(1) // behind what was sent
	d.wants("1", "2", "3", "4")
	d.settle()
	d.sent(6)
}

// What is missed does not wait for a moment in which the queue is empty: where the handler
// is done with what was stored after it was found, it is not in there.
func TestABusyHandlerIsSentWhatItMissed(t *testing.T) {
	const atHand = 100
	d := newDesk(t)
	d.open()
	d.checkIn(1)
	d.wants("1")
	d.onBroker(func(channel *amqp.Channel, queue string) error {
		return channel.QueueUnbind(queue, "PatientCheckedIn.*", schema.Topic, nil)
	})
	d.checkIn(1)
	d.onBroker(func(channel *amqp.Channel, queue string) error {
		return channel.QueueBind(queue, "PatientCheckedIn.*", schema.Topic, false, nil)
	})
	d.hold()
	d.checkIn(atHand + 2)
	d.settle()
	d.sent(0) // it may be in there, for all that is known
	d.release()
	d.handles(1 + atHand + 2)
	d.hold()
	d.checkIn(atHand + 2)
	d.look(time.Minute)
	d.sent(0) // as before
	d.release()
	d.handles(1 + 2*(atHand+2))
	d.hold()
	d.checkIn(atHand + 2)
	d.look(time.Minute)
	d.sent(1)
	d.release()
	d.handles(1 + 3*(atHand+2) + 1)
	if last := d.got[len(d.got)-1]; last != "2" {
		t.Errorf("the last one handled is %s", last)
	}
}

// Where nobody takes from the queue, what is sent once stays there.
func TestNothingIsSentTwiceToAHandlerThatIsAway(t *testing.T) {
	d := newDesk(t)
	d.checkIn(2)
	d.onBroker(func(channel *amqp.Channel, queue string) error {
		_, err := channel.QueuePurge(queue, false)
		return err
	})
	d.settle()
	d.waits(2)
	d.look(time.Hour)
	d.sent(2)
	d.open()
	d.wants("1", "2")
}

// One handler that cannot be reached does not keep the others from what they have missed.
func TestAHandlerThatCannotBeReachedIsAlone(t *testing.T) {
	d := newDesk(t)
	handler := func(name string) plugin.Handler {
		return plugin.On(name, func(context.Context, schema.PatientCheckedIn, schema.Metadata) error { return nil })
	}
	store := postgres.NewPluginCheckpoints(d.pool)
	if err := store.Start(t.Context(), []string{"plugin.a.away", "plugin.a.full", "plugin.a.there"}); err != nil {
		t.Fatal(err)
	}
	var sent []string
	catchUp, err := plugin.NewCatchUp([]plugin.Plugin{{Name: "a", Handlers: []plugin.Handler{handler("away"), handler("full"), handler("there")}}},
		store, plugin.Transport{
			Waiting: func(_ context.Context, handler string) (int, error) {
				return map[string]int{"plugin.a.full": 1}[handler], map[string]error{"plugin.a.away": errAway}[handler]
			},
			Hand: func(handler string, messages ...*message.Message) error {
				sent = append(sent, fmt.Sprint(handler, " ", len(messages)))
				return nil
			},
		}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	look := func(after time.Duration, want error) {
		t.Helper()
		d.now = d.now.Add(after)
		catchUp.At(d.now)
		if err := catchUp.Once(t.Context()); !errors.Is(err, want) {
			t.Errorf("the error is %v, want %v", err, want)
		}
	}
	d.checkIn(2)
	look(0, nil)
	look(catchup.SettledAfter, errAway)
	if diff := cmp.Diff([]string{"plugin.a.there 2"}, sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}
