package main

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rlapp/rlapp/bench/stock"
)

func TestUnsafeSettingsAreRefused(t *testing.T) {
	safe := map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "confirms": "on"}
	if err := checkSettings(safe); err != nil {
		t.Errorf("safe settings are refused: %v", err)
	}
	for name := range safe {
		for _, value := range []string{"off", "local", ""} {
			unsafe := maps.Clone(safe)
			unsafe[name] = value
			err := checkSettings(unsafe)
			if err == nil || !strings.Contains(err.Error(), "refusing") {
				t.Errorf("%s=%q is accepted: %v", name, value, err)
			}
		}
	}
}

func TestThePeersPublishWithConfirms(t *testing.T) {
	for _, tuned := range []bool{false, true} {
		if !(stock.Config{AMQP: "amqp://127.0.0.1", Tuned: tuned}).Confirms() {
			t.Errorf("the peer publishes without confirms, tuned %v", tuned)
		}
	}
}

// A run's own results leave its build clean; anything else does not.
func TestTheResultsDoNotMakeTheBuildDirty(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(path, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) {
		t.Helper()
		args = append([]string{"-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)
		if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	git("init", "-q")
	for _, path := range []string{results + "/latest.json", page, "main.go"} {
		write(path, "a")
	}
	git("add", "-A")
	git("commit", "-qm", "one")
	clean := commit()
	write(results+"/latest.json", "b")
	write(page, "b")
	if got := commit(); got != clean || clean == "" {
		t.Errorf("after a run the build is %q, before it %q", got, clean)
	}
	write("main.go", "b")
	if got := commit(); got != clean+"-dirty" {
		t.Errorf("with a changed source the build is %q, want %s-dirty", got, clean)
	}
}
