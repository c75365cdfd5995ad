package inprocess_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/rlapp/rlapp/adapters/inprocess"
)

// TestConformance runs Watermill's own suite. It skips what the features rule
// out: order, consumer groups, and messages that outlive their PubSub.
func TestConformance(t *testing.T) {
	tests.TestPubSub(t, tests.Features{
		ConsumerGroups:        false,
		ExactlyOnceDelivery:   true, // never again after the ack
		GuaranteedOrder:       false,
		Persistent:            false,
		RequireSingleInstance: true,
		ContextPreserved:      true,
	}, newConformant, nil)
}

func newConformant(t *testing.T) (message.Publisher, message.Subscriber) {
	t.Helper()
	p, err := inprocess.New(inprocess.Config{
		MaxInFlight:  10_000, // the suite publishes as many before it subscribes
		CloseTimeout: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := conformant{p}
	t.Cleanup(func() { _ = c.Close() })
	return c, c
}

// conformant closes without *UnackedError: TestMessageCtx closes on purpose
// before it acked, and wants no error then.
type conformant struct{ *inprocess.PubSub }

func (c conformant) Close() error {
	err := c.PubSub.Close()
	var unacked *inprocess.UnackedError
	if errors.As(err, &unacked) {
		return nil
	}
	return err
}
