package postgrestest_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestAbandonedDirectoriesAreRemoved(t *testing.T) {
	tmp := t.TempDir()
	directory := func(name string, age time.Duration) *os.File {
		lock := filepath.Join(tmp, "rlapp-postgrestest-"+name, "lock")
		if err := os.Mkdir(filepath.Dir(lock), 0o700); err != nil {
			t.Fatal(err)
		}
		file, err := os.Create(lock)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
		if err := os.Chtimes(lock, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
		return file
	}
	directory("abandoned", time.Hour)
	directory("new", time.Second)
	if err := syscall.Flock(int(directory("used", time.Hour).Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}

	tests := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	tests.Env = append(os.Environ(), uninstalled+"=yes", "TMPDIR="+tmp)
	_ = tests.Run() // it fails: there is no server

	for name, stays := range map[string]bool{"abandoned": false, "new": true, "used": true} {
		_, err := os.Stat(filepath.Join(tmp, "rlapp-postgrestest-"+name))
		if stays != (err == nil) || !stays && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
