package process_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rlapp/rlapp/bench/process"
)

// What a run writes makes no other build.
func TestCommitIsOfWhatIsTried(t *testing.T) {
	t.Chdir(t.TempDir())
	git(t, "init", "-q")
	for _, name := range []string{"results.json", "code.go"} {
		write(t, name, "1")
	}
	git(t, "add", ".")
	git(t, "-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "-m", "x")
	clean := process.Commit(t.Context(), "results.json")
	write(t, "results.json", "2")
	if got := process.Commit(t.Context(), "results.json"); got != clean || strings.HasSuffix(got, "-dirty") {
		t.Errorf("with new results it is %s, before %s", got, clean)
	}
	write(t, "code.go", "2")
	if got := process.Commit(t.Context(), "results.json"); got != clean+"-dirty" {
		t.Errorf("with other code it is %s, before %s", got, clean)
	}
}

func TestOutsideARepositoryTheCommitIsUnknown(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("GIT_CEILING_DIRECTORIES", os.TempDir())
	if got := process.Commit(t.Context()); got != "unknown" {
		t.Errorf("it is %s", got)
	}
}

func git(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "git", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
