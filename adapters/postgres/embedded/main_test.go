package embedded_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/postgres/embedded"
)

// parentOf names the variable with the data directory for a re-executed test
// binary that only runs a server, waiting to be killed.
const parentOf = "RLAPP_TEST_PARENT_OF"

// root is where the tests of this binary keep their data directories. t.TempDir
// cannot be reached by the server's user when the test is root.
var root string

func TestMain(m *testing.M) {
	if directory := os.Getenv(parentOf); directory != "" {
		runForever(directory)
	}
	goleak.VerifyTestMain(withRoot{m})
}

type withRoot struct{ m *testing.M }

func (w withRoot) Run() int {
	var err error
	if root, err = os.MkdirTemp("", "rlapp-embedded-"); err == nil {
		err = os.Chmod(root, 0o711)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(root) }()
	return w.m.Run()
}

func runForever(directory string) {
	if _, err := embedded.Start(context.Background(), embedded.Config{DataDirectory: directory}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}

// newDirectory is an empty data directory.
func newDirectory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(root, "data-") //nolint:usetesting // see root
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// existing is a data directory that a server ran on, shared by all tests to spare
// them an initdb.
var existing = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(root, "existing")
	s, err := embedded.Start(context.Background(), embedded.Config{DataDirectory: dir})
	if err != nil {
		return "", err
	}
	return dir, s.Stop(context.Background())
})

func existingDirectory(t *testing.T) string {
	t.Helper()
	dir, err := existing()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, config embedded.Config) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *embedded.Server) {
	t.Helper()
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func connect(t *testing.T, connString string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), connString)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func query[T any](t *testing.T, conn *pgx.Conn, sql string) T {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	value, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// postmaster is the pid of the server on a data directory.
func postmaster(t *testing.T, directory string) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(directory, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// eventually fails the test unless the condition comes true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(30 * time.Second)
	for !condition() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("did not happen: %s", what)
		}
	}
}
