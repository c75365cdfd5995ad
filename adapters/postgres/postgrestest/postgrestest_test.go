package postgrestest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/postgres/embedded"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
)

// uninstalled names the variable that hides the machine's PostgreSQL from this
// test binary.
const uninstalled = "RLAPP_TEST_UNINSTALLED"

func TestMain(m *testing.M) {
	options := []postgrestest.Option{postgrestest.Parameter("work_mem", "5MB")}
	if os.Getenv(uninstalled) != "" {
		options = append(options, func(c *embedded.Config) { c.BinDirectory = "/nowhere" })
	}
	goleak.VerifyTestMain(postgrestest.Wrap(m, options...))
}

func TestNew(t *testing.T) {
	var dropped string
	t.Run("database", func(t *testing.T) {
		dropped = postgrestest.New(t)
		conn := connect(t, dropped)
		mustExec(t, conn, "CREATE TABLE t (n int)") // would fail, were it shared
		if got := show(t, conn, "SHOW work_mem"); got != "5MB" {
			t.Errorf("work_mem is %s", got)
		}
		if got := show(t, conn, "SHOW fsync"); got != "on" {
			t.Errorf("fsync is %s", got)
		}
		mustExec(t, connect(t, postgrestest.New(t)), "CREATE TABLE t (n int)")
	})
	if conn, err := pgx.Connect(t.Context(), dropped); err == nil {
		_ = conn.Close(t.Context())
		t.Error("the database survived its test")
	}
}

// prepared counts in a whole run of the test binary, in which a test may run
// several times.
var prepared atomic.Int32

func TestNewFrom(t *testing.T) {
	prepare := func(ctx context.Context, connString string) error {
		prepared.Add(1)
		conn, err := pgx.Connect(ctx, connString)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "CREATE TABLE migrated (n int)")
		return err // and the connection stays open
	}
	for range 3 {
		t.Run("copy", func(t *testing.T) {
			t.Parallel()
			conn := connect(t, postgrestest.NewFrom(t, prepare))
			if got := show(t, conn, "SELECT count(*)::text FROM migrated"); got != "0" {
				t.Errorf("%s rows", got)
			}
			mustExec(t, conn, "INSERT INTO migrated VALUES (1)")
		})
	}
	t.Cleanup(func() {
		if n := prepared.Load(); n != 1 {
			t.Errorf("prepared %d times", n)
		}
	})
}

func TestServerCanBeKilled(t *testing.T) {
	connString := postgrestest.New(t)
	mustExec(t, connect(t, connString), "CREATE TABLE kept (n int)")
	server := postgrestest.Server(t)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustExec(t, connect(t, connString), "INSERT INTO kept VALUES (1)")
}

// TestExternalServer runs tests of this binary as on a machine without PostgreSQL.
func TestExternalServer(t *testing.T) {
	server := postgrestest.Server(t).ConnString()
	const databases = "SELECT count(*)::text FROM pg_database"
	before := show(t, connect(t, server), databases)
	for _, c := range []struct {
		name, url, tests string
		passes           bool
		says             []string
	}{
		{"databases", server, "^TestNew", true, nil},
		{"kill", server, "^TestServerCanBeKilled$", false, []string{"not ours to control", "apt-get install postgresql"}},
		{"none", "", "^TestNew", false, []string{"test command of README.md", "RLAPP_TEST_POSTGRES_URL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tests := exec.CommandContext(t.Context(), os.Args[0], "-test.run", c.tests)
			tests.Env = append(os.Environ(), uninstalled+"=yes", "RLAPP_TEST_POSTGRES_URL="+c.url)
			output, err := tests.CombinedOutput()
			if passed := err == nil; passed != c.passes {
				t.Errorf("%v\n%s", err, output)
			}
			for _, want := range c.says {
				if !strings.Contains(string(output), want) {
					t.Errorf("does not say %q:\n%s", want, output)
				}
			}
		})
	}
	if after := show(t, connect(t, server), databases); after != before {
		t.Errorf("%s databases before, %s after", before, after)
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

func mustExec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func show(t *testing.T, conn *pgx.Conn, sql string) (value string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}
