package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/adapters/rabbitmq/rabbitmqtest"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	directory, err := os.MkdirTemp("", "rlapp-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(directory) }()
	binary = filepath.Join(directory, "rlapp")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build rlapp:", err)
		return 1
	}
	if err := os.Chmod(directory, 0o755); err != nil { // an ordinary user runs it too
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return rabbitmqtest.Run(runner(func() int { return postgrestest.Main(m) }))
}

// runner lets one TestMain helper run another.
type runner func() int

func (r runner) Run() int { return r() }

// emptyServices returns the environment of processes on a database without a
// schema and a virtual host of RabbitMQ, both the test's own.
func emptyServices(t testing.TB) []string {
	t.Helper()
	broker := rabbitmqtest.VirtualHost(t)
	password, _ := broker.User.Password()
	return []string{
		"EventStore__ConnectionString=" + postgrestest.New(t),
		"RabbitMq__HostName=" + broker.Hostname(), "RabbitMq__Port=" + broker.Port(),
		"RabbitMq__UserName=" + broker.User.Username(), "RabbitMq__Password=" + password, "RabbitMq__VirtualHost=" + strings.TrimPrefix(broker.Path, "/"),
	}
}

// services is emptyServices after --init-db.
func services(t testing.TB) []string {
	t.Helper()
	env := emptyServices(t)
	if p := run(t, env, "--init-db"); p.exit() != 0 {
		t.Fatalf("--init-db failed:\n%s", p.output())
	}
	return env
}
