package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lab has the systems that faults are tried on. One on a small disk of its own, with a
// clock that can be stepped, is for the faults that need that.
type lab struct {
	program string
	common  *system
	special *system
	mounted string
}

// try runs rounds of a fault on the system that it needs.
func (l *lab) try(ctx context.Context, f fault, z size, rounds rounds, each func(counts)) error {
	s, err := l.system(ctx, f)
	if err != nil {
		return fmt.Errorf("start a system: %w", err)
	}
	err = s.try(ctx, f, z, rounds, each)
	if z == long || f.heavy || s.broken {
		// A round that could not end may have left anything, and after many long ones
		// the checks take as long as the rounds: the next fault gets a new system.
		return errors.Join(err, l.drop(s))
	}
	return err
}

func (l *lab) system(ctx context.Context, f fault) (*system, error) {
	which := &l.common
	if f.special {
		which = &l.special
	}
	if *which != nil {
		return *which, nil
	}
	dir, err := l.directory(f.special)
	if err != nil {
		return nil, err
	}
	at := site{dir: dir, wal: "1GB"}
	if f.special {
		at.wal = "128MB"
		if at.bin, err = clockedPostgres(dir); err != nil {
			return nil, err
		}
	}
	for range startTries {
		s, startErr := open(ctx, l.program, at)
		if startErr == nil {
			*which = s
			return s, nil
		}
		if err = startErr; ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// startTries is how often a system is started: somebody may take a port that was free.
const startTries = 3

// smallDisk is the size of the disk of the special system.
const smallDisk = "600m"

func (l *lab) directory(special bool) (string, error) {
	dir, err := os.MkdirTemp("", "rlapp-faults-")
	if err != nil {
		return "", err
	}
	if special {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+smallDisk); err != nil {
			return "", errors.Join(fmt.Errorf("a small disk has to be mounted, which takes root: %w", err), os.Remove(dir))
		}
		l.mounted = dir
	}
	return dir, os.Chmod(dir, 0o755) //nolint:gosec // PostgreSQL's own user must reach its data
}

func (l *lab) drop(s *system) error {
	err := s.close()
	if s == l.special {
		l.special = nil
		err = errors.Join(err, l.unmount())
	} else {
		l.common = nil
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

func (l *lab) unmount() error {
	if l.mounted == "" {
		return nil
	}
	dir := l.mounted
	l.mounted = ""
	return syscall.Unmount(dir, 0)
}

func (l *lab) close() error {
	var errs []error
	for _, s := range []*system{l.common, l.special} {
		if s != nil {
			errs = append(errs, l.drop(s))
		}
	}
	return errors.Join(append(errs, l.unmount())...)
}

const (
	postgresPrograms = "/usr/lib/postgresql/*/bin"
	fakeTime         = "/usr/lib/*/faketime/libfaketime.so.1"
	clockFile        = "clock"
)

// clockedPostgres makes a folder with PostgreSQL's programs, of which the server reads
// its clock from a file.
func clockedPostgres(dir string) (bin string, err error) {
	programs, err := filepath.Glob(postgresPrograms)
	if err != nil || len(programs) == 0 {
		return "", fmt.Errorf("PostgreSQL's programs are not in %s: %w", postgresPrograms, err)
	}
	library, err := filepath.Glob(fakeTime)
	if err != nil || len(library) == 0 {
		return "", fmt.Errorf("libfaketime is not in %s; tools/servers installs it: %w", fakeTime, err)
	}
	bin = filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil { //nolint:gosec // another user runs them
		return "", err
	}
	from := programs[len(programs)-1]
	all, err := os.ReadDir(from)
	if err != nil {
		return "", err
	}
	for _, one := range all {
		if one.Name() == "postgres" {
			continue
		}
		if err := os.Symlink(filepath.Join(from, one.Name()), filepath.Join(bin, one.Name())); err != nil {
			return "", err
		}
	}
	script := fmt.Sprintf("#!/bin/sh\nexport LD_PRELOAD=%s FAKETIME_TIMESTAMP_FILE=%s FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1\nexec %s \"$@\"\n",
		library[0], filepath.Join(dir, clockFile), filepath.Join(from, "postgres"))
	return bin, errors.Join(writeClock(dir, "+0"), os.WriteFile(filepath.Join(bin, "postgres"), []byte(script), 0o755)) //nolint:gosec // another user runs it
}

func writeClock(dir, offset string) error {
	return os.WriteFile(filepath.Join(dir, clockFile), []byte(offset+"\n"), 0o644) //nolint:gosec // another user reads it
}

// clockCached is for how long a session of the database keeps what it has read at most:
// libfaketime lets whole seconds pass, one more than FAKETIME_CACHE_DURATION.
const clockCached = 2 * time.Second

// setClock steps the database's clock and waits until all sessions show that.
func (s *system) setClock(ctx context.Context, offset time.Duration) error {
	if err := writeClock(s.dir, fmt.Sprintf("+%d", int(offset.Seconds()))); err != nil {
		return err
	}
	pause(ctx, clockCached)
	return until(ctx, 10*time.Second, func() (bool, error) {
		var now time.Time
		err := s.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
		return (time.Until(now) - offset).Abs() < 5*time.Second, err
	})
}
