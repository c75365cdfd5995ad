package embedded_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rlapp/rlapp/adapters/postgres/embedded"
)

func TestInUse(t *testing.T) {
	directory := existingDirectory(t)
	s := start(t, embedded.Config{DataDirectory: directory})
	_, err := embedded.Start(t.Context(), embedded.Config{DataDirectory: directory})
	inUse := (*embedded.InUseError)(nil)
	if !errors.As(err, &inUse) {
		t.Fatalf("got %v", err)
	}
	if inUse.PID != os.Getpid() || inUse.DataDirectory != directory {
		t.Errorf("got %+v", inUse)
	}
	stop(t, s)
	start(t, embedded.Config{DataDirectory: directory})
}

func TestInterruptedInitdbLeavesNoData(t *testing.T) {
	directory := newDirectory(t)
	data := filepath.Join(directory, "data")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := embedded.Start(ctx, embedded.Config{DataDirectory: directory})
		ended <- err
	}()
	eventually(t, "initdb writes", func() bool {
		_, err := os.Stat(filepath.Join(data+".new", "PG_VERSION"))
		return err == nil
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for _, path := range []string{data, data + ".new"} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
	// A crash leaves more behind than a cancellation does.
	if err := os.Mkdir(data+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data+".new", "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, embedded.Config{DataDirectory: directory})
}

func TestOtherMajorVersion(t *testing.T) {
	directory := newDirectory(t)
	if err := os.Mkdir(filepath.Join(directory, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "data", "PG_VERSION"), []byte("8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := embedded.Start(t.Context(), embedded.Config{DataDirectory: directory, NoDownload: true})
	version := (*embedded.VersionError)(nil)
	if !errors.As(err, &version) {
		t.Fatalf("got %v", err)
	}
	if version.Data != "8" || len(version.Found) == 0 {
		t.Errorf("got %+v", version)
	}
	if want := "apt-get install postgresql-8"; !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
}

func TestForeignData(t *testing.T) {
	directory := newDirectory(t)
	precious := filepath.Join(directory, "data", "precious")
	if err := os.MkdirAll(precious, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Start(t.Context(), embedded.Config{DataDirectory: directory}); err == nil {
		t.Error("started on what is no PostgreSQL data")
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

func TestMissingPassword(t *testing.T) {
	directory := existingDirectory(t)
	password := filepath.Join(directory, "password")
	if err := os.Rename(password, password+".away"); err != nil {
		t.Fatal(err)
	}
	_, err := embedded.Start(t.Context(), embedded.Config{DataDirectory: directory})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), password) {
		t.Errorf("got %v", err)
	}
	if err := os.Rename(password+".away", password); err != nil {
		t.Fatal(err)
	}
	start(t, embedded.Config{DataDirectory: directory})
}
