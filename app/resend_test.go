package main_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/schema"
)

// Stored events are sent to a plugin's queue once more by command, and to no other queue.
func TestResendByCommand(t *testing.T) {
	const handler = "plugin.triage.urgent-check-in"
	env, start := services(t), time.Now()
	api := run(t, env, "api").started()
	run(t, env, "worker").started()
	api.checkIn("queue-1")
	api.checkIn("queue-2")
	eventually(t, func() error { return api.published(4) })
	in := func(handler string) (n int) {
		onBroker(t, env, func(channel *amqp.Channel) error {
			queue, err := channel.QueueDeclarePassive(schema.Topic+"."+handler, true, false, false, false, nil)
			n = queue.Messages
			return err
		})
		return n
	}
	onBroker(t, env, func(channel *amqp.Channel) error {
		_, err := channel.QueueDelete(schema.Topic+"."+handler, false, false, false)
		return err
	})

	order := []string{"resend", handler, "--since", start.Format(time.RFC3339), "--actor", "ada", "--reason", "the queue was deleted"}
	if said := ended(t, env, 0, append(order, "--dry-run")...); !strings.Contains(said, "2 events would be sent to "+handler) {
		t.Errorf("the dry run says %s", said)
	}
	if said := ended(t, env, 0, append(order, "--until", start.Add(-time.Second).Format(time.RFC3339), "--since", "2026-01-01T00:00:00Z")...); !strings.Contains(said, "0 events") {
		t.Errorf("of the time before it says %s", said)
	}
	if said := ended(t, env, 0, order...); !strings.Contains(said, "2 events sent to "+handler) {
		t.Errorf("it says %s", said)
	}
	eventually(t, func() error {
		if n := in(handler); n != 2 {
			return fmt.Errorf("the handler's queue has %d messages", n)
		}
		return nil
	})
	if n := in("projections"); n != 4 {
		t.Errorf("the projections' queue has %d messages, want the 4 events once", n)
	}
	actions := ended(t, nil, 0, "actions", "--api", "http://"+api.address)
	if strings.Count(actions, "event.resend") != 2 || !strings.Contains(actions, "the queue was deleted") {
		t.Errorf("the record is\n%s", actions)
	}
}

func TestResendRefuses(t *testing.T) {
	env := services(t)
	run(t, env, "api").started().checkIn("queue-1")
	since := "2026-01-01T00:00:00Z"
	for name, tt := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"a handler that is not there": {env, []string{"plugin.a.b", "--since", since}, "it has plugin.triage.urgent-check-in"},
		"no time":                     {env, []string{"plugin.triage.urgent-check-in"}, "--since"},
		"an empty time":               {env, []string{"plugin.triage.urgent-check-in", "--since", since, "--until", since}, "--until is not after"},
		"a broker that is away":       {append(env, "RabbitMq__Port=1"), []string{"plugin.triage.urgent-check-in", "--since", since}, "go on with --since"},
	} {
		t.Run(name, func(t *testing.T) {
			if said := ended(t, tt.env, 1, append([]string{"resend"}, tt.args...)...); !strings.Contains(said, tt.want) {
				t.Errorf("it says %s", said)
			}
		})
	}
}
