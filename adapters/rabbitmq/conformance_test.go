package rabbitmq_test

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
)

// features are what Watermill's conformance suite may expect. Order holds with
// any number of subscribers, since a queue feeds one of them at a time.
var features = tests.Features{
	ConsumerGroups:  true,
	GuaranteedOrder: true,
	Persistent:      true,
}

func pubSub(t *testing.T) (message.Publisher, message.Subscriber) {
	return pubSubOfGroup(t, "conformance")
}

func pubSubOfGroup(t *testing.T, group string) (message.Publisher, message.Subscriber) {
	config := quick(t, group)
	return newPublisher(t, config), newSubscriber(t, config)
}

func TestConformance(t *testing.T) {
	tests.TestPubSub(t, features, pubSub, pubSubOfGroup)
}

// TestConformanceUnderStress runs ten suites beside one another, each in its
// short form.
func TestConformanceUnderStress(t *testing.T) {
	short := features
	short.ForceShort = true
	tests.TestPubSubStressTest(t, short, pubSub, pubSubOfGroup)
}

// TestConformanceInFlight has many messages in hand, which gives up the order.
func TestConformanceInFlight(t *testing.T) {
	unordered := features
	unordered.GuaranteedOrder = false
	many := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		config := quick(t, group)
		config.MaxInFlight = 500
		return newPublisher(t, config), newSubscriber(t, config)
	}
	tests.TestPubSub(t, unordered, func(t *testing.T) (message.Publisher, message.Subscriber) { return many(t, "conformance") }, many)
}
