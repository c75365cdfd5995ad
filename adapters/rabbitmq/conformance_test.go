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
