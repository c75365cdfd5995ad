package rabbitmqtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// nobody is the user and group that servers run as when the test is root.
const nobody = 65534

// terminateTimeout is how long a node may take to end in an orderly way. It
// takes about 2 s.
const terminateTimeout = 30 * time.Second

// process is a child that ends with this process at the latest.
type process struct {
	cmd    *exec.Cmd
	output *output
	done   chan struct{} // closed once it ended
}

// start runs a program with the given environment as an unprivileged user. It is
// ready once its output contains the marker; an empty marker means at once.
func start(env []string, marker, program string, args ...string) (*process, error) {
	p := &process{
		cmd:    exec.Command(program, args...), //nolint:noctx // it runs until end, beyond any context
		output: newOutput(marker),
		done:   make(chan struct{}),
	}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.WaitDelay = time.Second // a grandchild may keep the pipe open
	p.cmd.SysProcAttr = unprivileged()

	started := make(chan error)
	go func() {
		// The kernel watches the thread that forked, so it must live as long as
		// the child does. It lives on afterwards: a goroutine that ended locked would
		// end the thread, and with it every other child that was forked on it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return p, nil
}

func unprivileged() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{}
	dieWithParent(attr)
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return attr
}

// kill ends the process at once and waits until it is gone.
func (p *process) kill() error { return p.end(syscall.SIGKILL) }

// terminate asks the process to end and waits until it is gone. One that takes
// too long is killed.
func (p *process) terminate() error {
	timer := time.AfterFunc(terminateTimeout, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	return p.end(syscall.SIGTERM)
}

func (p *process) end(signal os.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end process %d: %w", p.cmd.Process.Pid, err)
	}
	<-p.done
	return nil
}

// freeze stops the process and waits until all of its threads stand still.
func (p *process) freeze() error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze process %d: %w", p.cmd.Process.Pid, err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		if !p.moves() {
			return nil
		}
		<-tick.C
	}
	return fmt.Errorf("process %d does not stand still", p.cmd.Process.Pid)
}

// moves reports whether a thread of the process runs. Without /proc nobody
// knows, and it says no.
func (p *process) moves() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
	for _, thread := range threads {
		stat, err := os.ReadFile(thread) // "<id> (<name>) <state> ..."
		if err == nil && !bytes.Contains(stat, []byte(") T ")) {
			return true
		}
	}
	return false
}

// thaw lets a frozen process go on.
func (p *process) thaw() error {
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("thaw process %d: %w", p.cmd.Process.Pid, err)
	}
	return nil
}

// output keeps what a process printed and tells when it printed the marker.
type output struct {
	marker []byte
	ready  chan struct{} // closed at the marker

	mu      sync.Mutex
	written bytes.Buffer
	seen    bool
}

func newOutput(marker string) *output {
	o := &output{marker: []byte(marker), ready: make(chan struct{})}
	_, _ = o.Write(nil)
	return o
}

// Write implements io.Writer; it never fails.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.written.Write(b)
	if !o.seen && bytes.Contains(o.written.Bytes(), o.marker) {
		o.seen = true
		close(o.ready)
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written.String()
}
