package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
)

// patience bounds every wait of these tests. It is long because machines are
// slow and noisy; nothing waits that long when all is well.
const patience = 60 * time.Second

// process is one running rlapp.
type process struct {
	t       testing.TB
	cmd     *exec.Cmd
	env     []string
	address string
	ready   chan struct{}
	done    chan struct{}

	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// run starts the binary under test. Its addresses are free ports unless env says
// otherwise, and it logs everything as JSON.
func run(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	return runAs(t, nil, env, args...)
}

func runAs(t testing.TB, credential *syscall.Credential, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, env: env, cmd: exec.Command(binary, args...), ready: make(chan struct{}), done: make(chan struct{})}
	p.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "Logging__Format=json", "Logging__Level=debug",
		"Api__Address=127.0.0.1:0", "Worker__Address=127.0.0.1:0", "Projections__Address=127.0.0.1:0",
	}, env...)
	// No process outlives the test, also when that is killed.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { p.read(stdout, &p.stdout, func([]byte) {}) })
	reading.Go(func() { p.read(stderr, &p.stderr, p.notice) })
	go func() {
		defer close(p.done)
		reading.Wait()
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if name := patientIn(p.output()); name != "" {
			t.Errorf("rlapp %v wrote the patient's name %q", args, name)
		}
		if t.Failed() {
			t.Logf("rlapp %v wrote:\n%s", args, tail(p.output(), 60))
		}
	})
	return p
}

func (p *process) read(from io.Reader, into *bytes.Buffer, each func(line []byte)) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		into.Write(lines.Bytes())
		into.WriteByte('\n')
		p.mu.Unlock()
		each(lines.Bytes())
	}
}

// notice waits for the line by which a process says that it is at work.
func (p *process) notice(line []byte) {
	var entry struct{ Msg, Address string }
	if json.Unmarshal(line, &entry) == nil && entry.Msg == "ready" && entry.Address != "" {
		p.address = entry.Address
		close(p.ready)
	}
}

// started waits until the process is ready.
func (p *process) started() *process {
	p.t.Helper()
	select {
	case <-p.ready:
	case <-p.done:
		p.t.Fatalf("rlapp ended before it was ready:\n%s", tail(p.output(), 40))
	case <-time.After(patience):
		p.t.Fatalf("rlapp was not ready within %v", patience)
	}
	return p
}

// exit waits for the end of the process and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("rlapp did not end within %v", patience)
		return -1
	}
}

// terminate asks for a clean end and checks that it is one.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code := p.exit(); code != 0 {
		p.t.Errorf("after SIGTERM the exit code is %d:\n%s", code, tail(p.output(), 40))
	}
}

// kill ends the process at once, as a crash would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stdout.String() + p.stderr.String()
}

func tail(s string, lines int) string {
	all := strings.Split(s, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// patients are the names that the tests check in. None may be in any output.
var patients = []string{"John Doe", "Perpetua Testname"}

func patientIn(output string) string {
	for _, name := range patients {
		for _, part := range append(strings.Fields(name), name) {
			// The greeting shows the guide's own example.
			if strings.Contains(strings.ReplaceAll(output, `"patientName":"John Doe"`, ""), part) {
				return name
			}
		}
	}
	return ""
}

// get returns the JSON object at a path of the process.
func (p *process) get(path string) (status int, body map[string]any) {
	p.t.Helper()
	response, err := http.Get("http://" + p.address + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, body
}

// post sends JSON and returns the status and the answer; an error means that no
// answer came.
func (p *process) post(path, body string) (status int, answer map[string]any, err error) {
	response, err := http.Post("http://"+p.address+path, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	err = json.NewDecoder(response.Body).Decode(&answer)
	return response.StatusCode, answer, err
}

// eventually waits until check finds nothing wrong.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %v", patience, err)
		}
	}
}

// dataDirectory is for a private PostgreSQL. Go's own directories of a test are
// closed to other users, and root's server runs as one.
func dataDirectory(t testing.TB) string {
	t.Helper()
	directory, err := os.MkdirTemp("", "rlapp-data") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	return directory
}

// openPool connects to the database that a process was started on.
func openPool(t testing.TB, p *process) *pgxpool.Pool {
	t.Helper()
	for _, setting := range p.env {
		if connString, ok := strings.CutPrefix(setting, "EventStore__ConnectionString="); ok {
			pool, err := postgres.Open(t.Context(), connString, postgres.PoolConfig{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			return pool
		}
	}
	t.Fatal("the process has a private database")
	return nil
}
