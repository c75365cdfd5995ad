package rabbitmqtest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/rabbitmq/rabbitmqtest"
)

// orphanMaker makes this binary start a node and wait to be killed.
const orphanMaker = "RLAPP_TEST_ORPHAN_MAKER"

func TestMain(m *testing.M) {
	if os.Getenv(orphanMaker) != "" {
		startAndWait()
	}
	code := rabbitmqtest.Run(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func TestNodeKeepsItsDataThroughKillAndRestart(t *testing.T) {
	node := rabbitmqtest.Shared(t)
	withChannel(t, node, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare("kept", true, false, false, false, nil)
		return err
	})

	if err := node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := node.Kill(); err != nil {
		t.Fatal(err)
	}
	if conn, err := amqp.Dial(node.URL()); err == nil {
		_ = conn.Close()
		t.Fatal("a killed node takes connections")
	}
	for range 2 { // after a kill, and while it runs
		if err := node.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	withChannel(t, node, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive("kept", true, false, false, false, nil)
		return err
	})
}

func TestNodeServesMetrics(t *testing.T) {
	node := rabbitmqtest.Shared(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, node.PrometheusURL(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	defer http.DefaultClient.CloseIdleConnections()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), "rabbitmq_identity_info") {
		t.Errorf("%s does not serve RabbitMQ's metrics", node.PrometheusURL())
	}
}

func TestNodeTakesCommands(t *testing.T) {
	printed, err := rabbitmqtest.Shared(t).Ctl(t.Context(), "list_vhosts", "--quiet")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(printed, "/") {
		t.Errorf("list_vhosts printed %q", printed)
	}
}

func TestNodeEndsWithItsTest(t *testing.T) {
	maker := exec.CommandContext(t.Context(), os.Args[0])
	maker.Env = append(os.Environ(), orphanMaker+"=1")
	maker.Stderr = os.Stderr
	stdout, err := maker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := maker.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url, dir, _ := strings.Cut(strings.TrimSpace(said), " ")
	defer func() { _ = os.RemoveAll(dir) }()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	ended := conn.NotifyClose(make(chan *amqp.Error, 1))

	if err := maker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = maker.Wait()

	select {
	case reason := <-ended:
		t.Log("the node ended with it:", reason)
	case <-time.After(20 * time.Second):
		t.Error("the node outlived the test binary that started it")
	}
}

func startAndWait() {
	node, err := rabbitmqtest.Start(context.Background(), rabbitmqtest.Config{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(node.URL(), node.Dir())
	select {}
}

func withChannel(t *testing.T, node *rabbitmqtest.Node, do func(*amqp.Channel) error) {
	t.Helper()
	conn, err := amqp.Dial(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := do(ch); err != nil {
		t.Fatal(err)
	}
}
