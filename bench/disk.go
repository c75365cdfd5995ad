package main

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// logFile is a log as the servers write theirs: page over old page, each flushed.
type logFile struct {
	file *os.File
	next int64
}

const (
	pageSize = 8192
	logPages = 256
)

// openLog makes a log in a folder.
func openLog(folder string) (*logFile, error) {
	file, err := os.CreateTemp(folder, "flush-")
	if err != nil {
		return nil, err
	}
	log := &logFile{file: file}
	if _, err := file.Write(make([]byte, logPages*pageSize)); err != nil {
		return nil, errors.Join(err, log.close())
	}
	if err := file.Sync(); err != nil {
		return nil, errors.Join(err, log.close())
	}
	return log, nil
}

func (f *logFile) flush() error {
	if _, err := f.file.WriteAt(make([]byte, pageSize), f.next*pageSize); err != nil {
		return err
	}
	f.next = (f.next + 1) % logPages
	return unix.Fdatasync(int(f.file.Fd()))
}

func (f *logFile) close() error { return errors.Join(f.file.Close(), os.Remove(f.file.Name())) }

// flushes are how long it takes to write a page of the log over an old one and flush it
// to the disk of a folder, in microseconds.
func flushes(folder string, n int) (took []float64, err error) {
	log, err := openLog(folder)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.close()) }()
	for range n {
		begin := time.Now()
		if err := log.flush(); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(begin).Nanoseconds())/1000)
	}
	return took, nil
}

// disk is the contender that does nothing but flush: as often as an event waits for a
// flush before it is in the read model, one after the other, on the disk of the others
// and while they work. What it takes is what no pipeline can undercut.
type disk struct {
	stop context.CancelFunc
	done chan struct{}
	took lag
	err  error
}

const (
	// flushesOfAnEvent are those of its commit, of the broker's log and of the read
	// model's commit.
	flushesOfAnEvent = 3
	// diskInterval is rare enough to add little to the hundreds of flushes a second that
	// are measured beside it.
	diskInterval = 100 * time.Millisecond
)

// watchDisk flushes at a steady rhythm from some moment on until told to end. As an
// event that is due while the disk stands still waits, a sample counts from when it was due.
func watchDisk(ctx context.Context, folder string, after time.Duration) (*disk, error) {
	log, err := openLog(folder)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	d := &disk{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		for due := time.Now().Add(after); ; due = due.Add(diskInterval) {
			pause(ctx, time.Until(due))
			if ctx.Err() != nil || d.err != nil {
				d.err = errors.Join(d.err, log.close())
				return
			}
			for range flushesOfAnEvent {
				d.err = errors.Join(d.err, log.flush())
			}
			d.took = append(d.took, float64(time.Since(due).Nanoseconds())/1e6)
		}
	}()
	return d, nil
}

// end returns the samples, in milliseconds.
func (d *disk) end() (lag, error) {
	d.stop()
	<-d.done
	return d.took, d.err
}
