package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// endOrphan ends a server that outlived the process which started it, and makes
// sure that what it left behind does not keep the next one from starting. The
// directory must be locked.
func (d directory) endOrphan(ctx context.Context) error {
	file := filepath.Join(d.data(), "postmaster.pid")
	pid := readPID(file)
	if pid == 0 {
		return nil
	}
	server, err := os.FindProcess(pid)
	if err != nil {
		return nil // it is gone
	}
	defer func() { _ = server.Release() }()
	serving, err := serves(pid, d.data())
	switch {
	case err != nil:
		return nil // it is gone, or PostgreSQL must judge
	case !serving:
		// Its pid belongs to another program now. PostgreSQL would take that for a
		// server and refuse to start.
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a stale %s: %w", file, err)
		}
		return nil
	}
	if err := d.end(ctx, server, syscall.SIGINT, fastShutdown); err == nil {
		return nil
	}
	return d.end(ctx, server, syscall.SIGQUIT, immediateShutdown)
}

// end signals a server that is no child of ours and waits until it is gone.
func (d directory) end(ctx context.Context, server *os.Process, s syscall.Signal, patience time.Duration) error {
	if err := server.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end the PostgreSQL with pid %d that serves %s: %w", server.Pid, d.data(), err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		if serving, err := serves(server.Pid, d.data()); err != nil || !serving {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("the PostgreSQL with pid %d still serves %s: %w", server.Pid, d.data(), ctx.Err())
		}
	}
}
