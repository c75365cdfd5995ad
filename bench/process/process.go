package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a program at work. Its methods are safe for concurrent use.
type Process struct {
	// Launched is when it was started, Ready when it said that it was at work.
	Launched, Ready time.Time
	// Hello is what it said then.
	Hello string

	cmd  *exec.Cmd
	log  *strings.Builder
	done chan struct{}
	err  error
}

// startTimeout bounds the wait for the program's first line, and stopTimeout its end,
// which RLAPP promises within that time.
const (
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second
)

// logTail is how much of its log, in bytes, an error about a process has.
const logTail = 4096

// Start runs a program, with more environment variables than this one's, until it
// prints a line: then it is at work. It ends by Stop or Kill, or with this process; ctx
// only bounds the start. The error has the program's log.
func Start(ctx context.Context, env []string, program string, args ...string) (*Process, error) {
	p := &Process{cmd: exec.CommandContext(context.WithoutCancel(ctx), program, args...), log: &strings.Builder{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.Launched = time.Now()
	started, hello := make(chan error), make(chan string, 1)
	go func() {
		// The kernel watches the thread that forked, so it must live as long as the
		// child does, and on for the others that were forked on it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		defer close(p.done)
		line, _ := bufio.NewReader(out).ReadString('\n')
		hello <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, out)
		p.err = p.cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	select {
	case p.Hello = <-hello:
	case <-time.After(startTimeout):
	case <-ctx.Done():
	}
	if p.Hello == "" {
		_ = p.Kill()
		return nil, fmt.Errorf("%s did not start: %w: %s", p.name(), errors.Join(p.err, ctx.Err()), p.tail())
	}
	p.Ready = time.Now()
	return p, nil
}

// tail is the end of what a process that is gone logged.
func (p *Process) tail() string {
	log := p.log.String()
	return log[max(0, len(log)-logTail):]
}

func (p *Process) name() string {
	return filepath.Base(p.cmd.Path) + " " + strings.Join(p.cmd.Args[1:], " ")
}

// Stop ends the process in good order. It returns an error, with the log, where it ends
// with one or not within 30 s.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s: %w: %s", p.name(), p.err, p.tail())
		}
		return nil
	case <-time.After(stopTimeout):
		_ = p.Kill()
		return fmt.Errorf("%s did not end within %v: %s", p.name(), stopTimeout, p.tail())
	}
}

// Kill ends the process as a crash would, and returns when it is gone.
func (p *Process) Kill() error {
	err := p.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-p.done
	return err
}

// Ended returns how a process has ended, with its log, and nil while it runs.
func (p *Process) Ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended: %w: %s", p.name(), p.err, p.tail())
	default:
		return nil
	}
}

// PeakMiB is the most memory that the process held so far; 0 where that is not known.
func (p *Process) PeakMiB() float64 {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024
		}
	}
	return 0
}
