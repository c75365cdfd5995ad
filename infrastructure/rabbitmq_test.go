package infrastructure_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// knownKeys are the keys that RabbitMQ's schema has both in 3.10.8 and in 4.2.8, of which a node was started with this
// very file (3.10.8) or the schema read (4.2.8). A node that meets any other does not start.
//
// A node of adapters/rabbitmq/rabbitmqtest, given these two files, is the better test and its place is here.
var knownKeys = []string{
	"channel_max",
	"disk_free_limit.absolute",
	"loopback_users.guest",
}

func TestRabbitMQKnowsEveryKey(t *testing.T) {
	raw, err := os.ReadFile("rabbitmq/rabbitmq.conf")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for line := range strings.Lines(string(raw)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if key = strings.TrimSpace(key); !ok || strings.TrimSpace(value) == "" {
			t.Errorf("%q sets nothing", line)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if diff := cmp.Diff(knownKeys, keys); diff != "" {
		t.Errorf("keys of rabbitmq.conf (-known +got):\n%s", diff)
	}
}

func TestRabbitMQPlugins(t *testing.T) {
	raw, err := os.ReadFile("rabbitmq/enabled_plugins")
	if err != nil {
		t.Fatal(err)
	}
	// An Erlang term: the full stop ends it.
	const want = "[rabbitmq_management,rabbitmq_prometheus].\n"
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("enabled_plugins (-want +got):\n%s", diff)
	}
}
