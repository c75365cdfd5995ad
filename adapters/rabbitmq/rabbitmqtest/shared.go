package rabbitmqtest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
)

// shared is the node of this test binary, started by the first test that needs
// it.
var shared struct {
	once sync.Once
	node *Node
	err  error
}

// Run runs the tests of a binary and then stops its shared node. It is for
// TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(rabbitmqtest.Run(m)) }
func Run(m interface{ Run() int }) int {
	code := m.Run()
	if shared.node == nil {
		return code
	}
	if err := shared.node.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the RabbitMQ of the tests:", err)
		return max(code, 1)
	}
	return code
}

// Shared is the node of this test binary. The first call starts it; a test that
// cannot have it fails. A test that kills it restarts it before it ends, and
// runs beside no other.
func Shared(t testing.TB) *Node {
	t.Helper()
	shared.once.Do(func() {
		shared.node, shared.err = Start(context.Background(), Config{})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.node
}

// URL is the AMQP address of the test binary's node.
func URL(t testing.TB) string {
	t.Helper()
	return Shared(t).URL()
}
