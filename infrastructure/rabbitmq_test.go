package infrastructure_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/adapters/rabbitmq/rabbitmqtest"
)

// A node that meets a key which it does not know does not start.
func TestRabbitMQStartsWithTheConfiguration(t *testing.T) {
	raw, err := os.ReadFile("rabbitmq/rabbitmq.conf")
	if err != nil {
		t.Fatal(err)
	}
	node, err := rabbitmqtest.Start(t.Context(), rabbitmqtest.Config{Conf: string(raw)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := node.Stop(); err != nil {
			t.Error(err)
		}
	}()
	// The value that another than the default shows that the file was read.
	got, err := node.Ctl(t.Context(), "eval", "application:get_env(rabbit, channel_max).")
	if err != nil || strings.TrimSpace(got) != "{ok,4096}" {
		t.Errorf("channel_max is %q, error %v", got, err)
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
