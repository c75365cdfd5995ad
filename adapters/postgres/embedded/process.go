package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// fastShutdown is how long a server may take to disconnect everyone and to
	// write its checkpoint.
	fastShutdown = 20 * time.Second
	// immediateShutdown is how long it may then take to end without one.
	immediateShutdown = 5 * time.Second
	// orphans is how long backends may outlive a postmaster that was killed. They
	// notice at once, unless they are busy.
	orphans = 10 * time.Second
)

// process is a child that ends with this process at the latest.
type process struct {
	cmd   *exec.Cmd
	log   *tail
	asked atomic.Bool   // to end
	done  chan struct{} // closed once it and its log ended
	err   error         // of the exit; for use after done
}

// start runs a program of PostgreSQL's. The signal reaches it when this process
// dies.
func start(a account, atDeath syscall.Signal, logger *slog.Logger, program string, args ...string) (*process, error) {
	log := &tail{logger: logger.With("program", filepath.Base(program))}
	cmd := exec.Command(program, args...) //nolint:noctx // a server outlives the context of its start
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	p.cmd.Env = environment()
	p.cmd.Dir = "/"
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.WaitDelay = orphans
	p.cmd.SysProcAttr = a.attributes()
	dieWithParent(p.cmd.SysProcAttr, atDeath)

	started := make(chan error)
	go func() {
		// The kernel watches the thread that forked, so it must live as long as
		// the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s as %s: %w", program, a, err)
	}
	return p, nil
}

// environment is what PostgreSQL's programs see: nothing of our own secrets, no
// PG* variable that would redirect them, and messages in English.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
}

// wait waits for a program that ends by itself. When the context ends first, it
// kills the program with its children, which are in its process group.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.failure()
	case <-ctx.Done():
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // fails when they just ended
		<-p.done
		return ctx.Err()
	}
}

// failure is why the process ended, with what it logged last. It is nil for one
// that succeeded.
func (p *process) failure() error {
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w; it last said:\n%s", filepath.Base(p.cmd.Path), p.err, p.log)
}

// death is why the process ended without being asked to; nil while it lives or
// when it was asked.
func (p *process) death() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	if p.asked.Load() {
		return nil
	}
	state := p.cmd.ProcessState.String() // "exit status 0" is a death, too
	return fmt.Errorf("PostgreSQL ended (%s); it last said:\n%s", state, p.log)
}

// kill ends the process as a crash would.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// shutdown ends a server in an orderly way, and by force when that takes too long
// or the context ends. The error says that force was needed.
func (p *process) shutdown(ctx context.Context) error {
	select {
	case <-p.done: // by itself, which death tells
		return nil
	default:
		p.asked.Store(true)
	}
	ctx, cancel := context.WithTimeout(ctx, fastShutdown)
	defer cancel()
	if err := p.signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	forced := fmt.Errorf("PostgreSQL did not shut down in time (%w) and was forced to: its next start recovers", ctx.Err())
	if err := p.signal(syscall.SIGQUIT); err != nil {
		return errors.Join(forced, err)
	}
	select {
	case <-p.done:
		return forced
	case <-time.After(immediateShutdown):
		return errors.Join(forced, p.kill())
	}
}

// signal does nothing to a process that ended.
func (p *process) signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal process %d: %w", p.cmd.Process.Pid, err)
	}
	return nil
}
