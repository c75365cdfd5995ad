package embedded_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rlapp/rlapp/adapters/postgres/embedded"
)

var threeWays = []string{
	"apt-get install postgresql",
	"EventStore__ConnectionString",
	"docker compose up -d postgres",
}

func TestMissingBinaries(t *testing.T) {
	empty := newDirectory(t)
	_, err := embedded.Start(t.Context(), embedded.Config{DataDirectory: newDirectory(t), BinDirectory: empty})
	requireNotFound(t, err, append(threeWays, empty)...)
}

func TestFailedDownload(t *testing.T) {
	t.Setenv("PATH", "")
	empty := newDirectory(t)
	repository := httptest.NewServer(http.NotFoundHandler())
	defer repository.Close()
	_, err := embedded.Find(t.Context(), newDirectory(t), empty+"/*/bin", empty, repository.URL)
	requireNotFound(t, err, append(threeWays, "download: ", repository.URL)...)
	if left, _ := filepath.Glob(empty + "/postgresql/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func requireNotFound(t *testing.T, err error, words ...string) {
	t.Helper()
	if missing := (*embedded.NotFoundError)(nil); !errors.As(err, &missing) {
		t.Fatalf("got %v", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not mention %q", err, word)
		}
	}
}

// TestDownload fetches an archive whose programs are scripts: one of them only
// knows its version.
func TestDownload(t *testing.T) {
	t.Setenv("PATH", "")
	var requests atomic.Int32
	repository := httptest.NewServer(mavenRepository(t, &requests))
	defer repository.Close()
	cache, nowhere := newDirectory(t), "/nowhere/*/bin"
	passable(t, cache)
	for range 2 {
		dir, err := embedded.Find(t.Context(), newDirectory(t), nowhere, cache, repository.URL)
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(cache, "postgresql", "16", "bin"); dir != want {
			t.Errorf("found %s, want %s", dir, want)
		}
	}
	if n := requests.Load(); n != 2 { // the archive and its checksum, once
		t.Errorf("%d requests", n)
	}
	if left, _ := filepath.Glob(cache + "/postgresql/fetch-*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func mavenRepository(t *testing.T, requests *atomic.Int32) http.Handler {
	t.Helper()
	archive, err := os.ReadFile("testdata/binaries.jar")
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			fmt.Fprintf(w, "%x", sha256.Sum256(archive))
			return
		}
		_, _ = w.Write(archive)
	})
}

func TestBinariesOfTheDataAreTaken(t *testing.T) {
	t.Setenv("PATH", "")
	installed, directory := newDirectory(t), newDirectory(t)
	passable(t, installed)
	for _, major := range []string{"9", "14", "18"} {
		install(t, filepath.Join(installed, major, "bin"), major)
	}
	find := func() string {
		dir, err := embedded.Find(t.Context(), directory, installed+"/*/bin", installed, "http://127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Base(filepath.Dir(dir))
	}
	if got := find(); got != "18" {
		t.Errorf("for new data: %s", got)
	}
	if err := os.Mkdir(filepath.Join(directory, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "data", "PG_VERSION"), []byte("14\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := find(); got != "14" {
		t.Errorf("for data of 14: %s", got)
	}
}

// install puts programs into a directory that only know their version.
func install(t *testing.T, bin, major string) {
	t.Helper()
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s.1'\n", major)
	for _, program := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(bin, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// passable lets the server's user into a directory when the test is root.
func passable(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}
