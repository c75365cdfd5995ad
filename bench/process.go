package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a contender at work. It prints one line when it is ready.
type process struct {
	cmd *exec.Cmd
	// launched is when the process was started, ready when it said so.
	launched, ready time.Time
	hello           string
	log             *strings.Builder
	ended           chan error
}

// start waits until the program says that it is ready.
func start(ctx context.Context, env []string, program string, args ...string) (*process, error) {
	// It is ended by stop, in good order, and not by ctx.
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(ctx), program, args...), log: &strings.Builder{}, ended: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.launched = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	hello := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		hello <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, out)
		p.ended <- p.cmd.Wait()
	}()
	select {
	case p.hello = <-hello:
	case <-time.After(time.Minute):
	case <-ctx.Done():
	}
	if p.hello == "" {
		_ = p.cmd.Process.Kill()
		err := errors.Join(<-p.ended, ctx.Err()) // its log is complete then
		return nil, fmt.Errorf("%s did not start: %w: %s", filepath.Base(program), err, p.log)
	}
	p.ready = time.Now()
	return p, nil
}

// stop ends the process in good order.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.ended:
		if err != nil {
			return fmt.Errorf("%s: %w: %s", filepath.Base(p.cmd.Path), err, p.log)
		}
		return nil
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		return errors.Join(fmt.Errorf("%s did not end", filepath.Base(p.cmd.Path)), <-p.ended)
	}
}

// peakMiB is the most memory that the process held so far.
func (p *process) peakMiB() float64 {
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
