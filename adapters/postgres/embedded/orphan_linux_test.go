package embedded_test

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rlapp/rlapp/adapters/postgres/embedded"
)

func TestKilledParentTakesTheServerWithIt(t *testing.T) {
	directory := existingDirectory(t)
	parent := osexec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentOf+"="+directory)
	waitFor(t, parent, "ready")

	_, err := embedded.Start(t.Context(), embedded.Config{DataDirectory: directory})
	if inUse := (*embedded.InUseError)(nil); !errors.As(err, &inUse) || inUse.PID != parent.Process.Pid {
		t.Errorf("while the parent lives: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "PostgreSQL ended", func() bool {
		_, err := os.Stat(filepath.Join(directory, "data", "postmaster.pid"))
		return errors.Is(err, fs.ErrNotExist)
	})
	start(t, embedded.Config{DataDirectory: directory})
}

func TestOrphanIsEnded(t *testing.T) {
	directory := existingDirectory(t)
	s := start(t, embedded.Config{DataDirectory: directory})
	program, err := os.Readlink("/proc/" + strconv.Itoa(postmaster(t, directory)) + "/exe")
	if err != nil {
		t.Fatal(err)
	}
	port := query[string](t, connect(t, s.ConnString()), "SHOW port")
	stop(t, s)
	orphan := osexec.Command(program, "-D", filepath.Join(directory, "data"), "-c", "port="+port, "-c", "unix_socket_directories=")
	orphan.SysProcAttr = ownerOf(t, filepath.Join(directory, "data"))
	waitFor(t, orphan, "ready to accept connections")

	start(t, embedded.Config{DataDirectory: directory})
	if err := orphan.Wait(); err != nil { // it shut down in an orderly way
		t.Error(err)
	}
}

func TestReusedPIDIsNoServer(t *testing.T) {
	directory := existingDirectory(t)
	innocent := osexec.Command("sleep", "1000")
	innocent.SysProcAttr = ownerOf(t, filepath.Join(directory, "data"))
	if err := innocent.Start(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(directory, "data", "postmaster.pid")
	if err := os.WriteFile(file, []byte(strconv.Itoa(innocent.Process.Pid)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, embedded.Config{DataDirectory: directory})
	if err := innocent.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the innocent process was ended: %v", err)
	}
	if err := innocent.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = innocent.Wait()
}

func TestTerminalDoesNotReachTheServer(t *testing.T) {
	directory := existingDirectory(t)
	start(t, embedded.Config{DataDirectory: directory})
	group, err := syscall.Getpgid(postmaster(t, directory))
	if err != nil {
		t.Fatal(err)
	}
	if group == syscall.Getpgrp() {
		t.Error("it is in our process group, so it gets the Ctrl-C that is meant for us")
	}
}

// TestUnprivileged runs the other tests, but for some slow ones, as an ordinary
// user with a home of its own. When the test is not root, they run that way in the
// first place.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	home := newDirectory(t)
	binary, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(home, "embedded.test")
	if err := os.WriteFile(program, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(home, "testdata"), os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{home, program} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	tests := osexec.CommandContext(t.Context(), program, "-test.skip=^(TestUnprivileged|TestStart|TestInterrupted.*)$")
	tests.Dir = home
	tests.Env = []string{"HOME=" + home, "TMPDIR=" + home, "PATH=" + os.Getenv("PATH")}
	tests.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if output, err := tests.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// TestDefaultDataDirectory shows where an ordinary user's data go.
func TestDefaultDataDirectory(t *testing.T) {
	if os.Geteuid() == 0 {
		return // it is /var/lib/rlapp, which is not the test's to use
	}
	home := newDirectory(t)
	t.Setenv("XDG_DATA_HOME", "")
	t.Setenv("HOME", home)
	s, err := embedded.Start(t.Context(), embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	if _, err := os.Stat(filepath.Join(home, ".local/share/rlapp/postgres/data/PG_VERSION")); err != nil {
		t.Error(err)
	}
}

const nobody = 65534

// ownerOf makes a child run as the owner of a file.
func ownerOf(t *testing.T, path string) *syscall.SysProcAttr {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if int(owner.Uid) == os.Geteuid() {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
}

// waitFor starts a program and returns once it printed a line with the text.
func waitFor(t *testing.T, cmd *osexec.Cmd, text string) {
	t.Helper()
	output, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = cmd.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var seen bytes.Buffer
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return
		}
		seen.WriteString(lines.Text() + "\n")
	}
	t.Fatalf("%s never said %q:\n%s", cmd.Path, text, &seen)
}
