package embedded_test

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/postgres/embedded"
)

func TestStart(t *testing.T) {
	parent := newDirectory(t)
	passable(t, parent)
	config := embedded.Config{
		DataDirectory: filepath.Join(parent, "made", "by", "start"),
		Parameters:    map[string]string{"max_connections": "17", "work_mem": "5MB"},
	}
	s := start(t, config)
	conn := connect(t, s.ConnString())

	t.Run("settings", func(t *testing.T) {
		want := map[string]string{
			"current_database": "rlapp", "server_encoding": "UTF8", "data_checksums": "on", "fsync": "on",
			"password_encryption": "scram-sha-256", "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
			"max_connections": "17", "work_mem": "5MB", "lc_messages": "C",
		}
		got := map[string]string{"current_database": query[string](t, conn, "SELECT current_database()")}
		for name := range want {
			if name != "current_database" {
				got[name] = query[string](t, conn, "SHOW "+name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if locale := query[string](t, conn, "SELECT datcollate FROM pg_database WHERE datname = 'rlapp'"); !strings.HasPrefix(locale, "C") {
			t.Errorf("collation %s depends on the machine", locale)
		}
	})
	t.Run("password", func(t *testing.T) {
		if n := query[int](t, conn, "SELECT count(*)::int FROM pg_hba_file_rules WHERE auth_method <> 'scram-sha-256'"); n != 0 {
			t.Errorf("%d ways in without a password", n)
		}
		u, err := url.Parse(s.ConnString())
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword("rlapp", "wrong")
		if _, err := pgx.Connect(t.Context(), u.String()); err == nil {
			t.Error("a wrong password is taken")
		}
		info, err := os.Stat(filepath.Join(config.DataDirectory, "password"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("the password file has mode %s", info.Mode())
		}
	})
	t.Run("again", func(t *testing.T) {
		exec(t, conn, "CREATE TABLE kept AS SELECT 42 AS answer")
		stop(t, s)
		began := time.Now()
		again := start(t, config)
		if took := time.Since(began); took > 5*time.Second { // 0.2 s on an idle machine
			t.Errorf("took %s", took)
		}
		if got := query[int](t, connect(t, again.ConnString()), "SELECT answer FROM kept"); got != 42 {
			t.Errorf("got %d", got)
		}
	})
}

func TestStopLeavesNothing(t *testing.T) {
	directory := existingDirectory(t)
	before := goleak.IgnoreCurrent()
	s := start(t, embedded.Config{DataDirectory: directory})
	if s.Err() != nil {
		t.Errorf("while it runs: %v", s.Err())
	}
	conn := connect(t, s.ConnString())
	pid := postmaster(t, directory)
	stop(t, s)

	<-s.Done()
	if err := s.Err(); err != nil {
		t.Errorf("stopped, and yet it failed: %v", err)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a connection survived")
	}
	if process, err := os.FindProcess(pid); err == nil && process.Signal(syscall.Signal(0)) == nil {
		t.Errorf("process %d survived", pid)
	}
	if _, err := os.Stat(filepath.Join(directory, "data", "postmaster.pid")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("postmaster.pid: %v", err)
	}
	goleak.VerifyNone(t, before)

	stop(t, s)
	if err := s.Restart(t.Context()); !errors.Is(err, embedded.ErrStopped) {
		t.Errorf("Restart: %v", err)
	}
	if err := s.Kill(); !errors.Is(err, embedded.ErrStopped) {
		t.Errorf("Kill: %v", err)
	}
}

func TestStopIsBoundedByItsContext(t *testing.T) {
	s := start(t, embedded.Config{DataDirectory: existingDirectory(t)})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stop(over); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-s.Done()
}

func TestRestartAfterKill(t *testing.T) {
	s := start(t, embedded.Config{DataDirectory: existingDirectory(t)})
	conn := connect(t, s.ConnString())
	exec(t, conn, "CREATE TABLE survivor AS SELECT 1 AS n")
	defer func() { exec(t, connect(t, s.ConnString()), "DROP TABLE survivor") }()

	ended := s.Done()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Err: %v", err)
	}
	before := s.ConnString()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.ConnString() != before {
		t.Error("it moved")
	}
	if s.Err() != nil {
		t.Errorf("Err: %v", s.Err())
	}
	if n := query[int](t, connect(t, s.ConnString()), "SELECT n FROM survivor"); n != 1 {
		t.Errorf("got %d", n)
	}
	if err := s.Restart(t.Context()); err != nil { // of one that runs
		t.Fatal(err)
	}
}

func TestDeathIsRemembered(t *testing.T) {
	s := start(t, embedded.Config{DataDirectory: existingDirectory(t)})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	if err := s.Err(); err == nil {
		t.Error("Stop made it forget")
	}
}

func TestConfigNamesEveryMistake(t *testing.T) {
	_, err := embedded.Start(t.Context(), embedded.Config{
		Port:       70000,
		Parameters: map[string]string{"listen_addresses": "*", "no name": "x"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"70000", "listen_addresses", "no name"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention %s", err, want)
		}
	}
}

func TestFailureShowsTheServersLog(t *testing.T) {
	_, err := embedded.Start(t.Context(), embedded.Config{
		DataDirectory: existingDirectory(t),
		Parameters:    map[string]string{"shared_buffers": "plenty"},
	})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Errorf("got %v", err)
	}
	start(t, embedded.Config{DataDirectory: existingDirectory(t)}) // the directory is free again
}

func TestPort(t *testing.T) {
	s := start(t, embedded.Config{DataDirectory: existingDirectory(t)})
	u, err := url.Parse(s.ConnString())
	if err != nil {
		t.Fatal(err)
	}
	if u.Port() == "5432" || u.Hostname() != "127.0.0.1" {
		t.Errorf("listens on %s", u.Host)
	}
}
