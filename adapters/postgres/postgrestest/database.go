package postgrestest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/adapters/postgres/embedded"
)

// databaseTimeout bounds the making or dropping of one database, which takes some
// 50 ms on an idle machine.
const databaseTimeout = time.Minute

// New returns the connection string of a new, empty database. It is dropped when
// the test ends, whoever is still connected then.
func New(t testing.TB) string {
	t.Helper()
	return running(t).newDatabase(t, "template0")
}

// NewFrom is New, but the database is a copy of one that prepare set up, such as
// with migrations. Each prepare runs once in a test binary; it is known by where
// it is written, so a closure must not depend on what it captures. Connections
// that it leaves open are ended.
func NewFrom(t testing.TB, prepare func(ctx context.Context, connString string) error) string {
	t.Helper()
	s := running(t)
	template, err := s.templates.get(s, prepare)
	if err != nil {
		t.Fatal("prepare a template database:", err)
	}
	return s.newDatabase(t, template)
}

// Server is the private server, to be killed or restarted. A test that does so
// has it running again before it ends, and runs beside no other test. A test that
// asks for it fails where the server is an external one.
func Server(t testing.TB) *embedded.Server {
	t.Helper()
	s := running(t)
	if s.private == nil {
		t.Fatalf("the server of %s is not ours to control: install PostgreSQL (apt-get install postgresql)", externalURL)
	}
	return s.private
}

func running(t testing.TB) *server {
	t.Helper()
	if current == nil {
		t.Fatal("this test binary has no PostgreSQL: call postgrestest.Main in its TestMain")
	}
	return current
}

func (s *server) newDatabase(t testing.TB, template string) string {
	t.Helper()
	name := newName()
	if err := s.run("CREATE DATABASE " + name + " TEMPLATE " + template); err != nil {
		t.Fatal("create the test's database:", err)
	}
	t.Cleanup(func() {
		if err := s.run("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error("drop the test's database:", err)
		}
	})
	return s.connString(name)
}

// newName is unique, since an external server may serve several test binaries.
func newName() string { return "rlapp_test_" + strings.ToLower(rand.Text()) }

func (s *server) connString(database string) string {
	u, err := url.Parse(s.admin())
	if err != nil { // of RLAPP_TEST_POSTGRES_URL; it was connected to by now
		return ""
	}
	u.Path = "/" + database
	return u.String()
}

// run executes statements on a connection of their own: a test may have restarted
// the server since the last ones.
func (s *server) run(statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.admin())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// templates are the databases that tests' databases are copies of.
type templates struct {
	mu   sync.Mutex
	made map[uintptr]func() (name string, err error)
}

func (t *templates) get(s *server, prepare func(ctx context.Context, connString string) error) (string, error) {
	t.mu.Lock()
	key := reflect.ValueOf(prepare).Pointer()
	if t.made == nil {
		t.made = map[uintptr]func() (string, error){}
	}
	if t.made[key] == nil {
		t.made[key] = sync.OnceValues(func() (string, error) { return s.newTemplate(prepare) })
	}
	made := t.made[key]
	t.mu.Unlock()
	return made()
}

func (s *server) newTemplate(prepare func(ctx context.Context, connString string) error) (string, error) {
	name := newName()
	if err := s.run("CREATE DATABASE " + name + " TEMPLATE template0"); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	if err := prepare(ctx, s.connString(name)); err != nil {
		return name, err
	}
	// A copy waits while anybody is connected to the template, and backends take a
	// moment to leave after their connection closed.
	return name, s.run(
		"ALTER DATABASE "+name+" ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '"+name+"'",
	)
}

// drop drops the templates. Only an external server would keep them.
func (t *templates) drop(s *server) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var drops []string
	for _, made := range t.made {
		if name, _ := made(); name != "" {
			drops = append(drops, "DROP DATABASE "+name+" WITH (FORCE)")
		}
	}
	return s.run(drops...)
}
