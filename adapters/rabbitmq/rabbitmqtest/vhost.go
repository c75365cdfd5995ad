package rabbitmqtest

import (
	"crypto/rand"
	"net/url"
	"strings"
	"testing"
)

// VirtualHost is the AMQP address of a new virtual host of the test binary's
// node: exchanges and queues that no other test sees. It goes with the node. A
// test fails where the node is an external one.
func VirtualHost(t testing.TB) *url.URL {
	t.Helper()
	node := Shared(t)
	address, err := url.Parse(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	name := "test-" + strings.ToLower(rand.Text())
	for _, command := range [][]string{
		{"add_vhost", name},
		{"set_permissions", "-p", name, address.User.Username(), ".*", ".*", ".*"},
	} {
		if output, err := node.Ctl(t.Context(), command...); err != nil {
			t.Fatalf("rabbitmqctl %s: %v\n%s", command[0], err, output)
		}
	}
	address.Path = "/" + name
	return address
}
