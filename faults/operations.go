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

func operationFaults() []fault {
	return []fault{
		{
			name: "rolling-sigterm", what: "two workers and three projection workers get SIGTERM in turn, each is replaced",
			strike: rollingStop, evidence: hits("event that was stored meanwhile"), gated: true, unnoticed: true,
		},
		{
			name: "rebuild-killed", what: "a rebuild of 300,000 events during writes, killed three times",
			strike: killRebuild, evidence: hits("rebuild that a kill broke off"), gated: true, heavy: true,
		},
		{
			name: "clock-stepped", what: "PostgreSQL's clock steps an hour ahead and back", lasts: 5 * time.Second,
			strike: stepClock, evidence: hits("event of the hour ahead"), gated: true, special: true,
		},
		{
			name: "disk-full", what: "the database's disk is full, for 5 s", lasts: 5 * time.Second,
			strike: fillDisk, evidence: askedAgain, gated: true, special: true,
		},
	}
}

// rollingStop replaces every one of several workers while the others take over.
func rollingStop(ctx context.Context, s *strike) error {
	more := map[string]string{"worker-2": "worker", "projections-2": "projections", "projections-3": "projections"}
	for name, role := range more {
		if err := s.start(ctx, name, role); err != nil {
			return err
		}
	}
	before, err := s.committed(ctx)
	if err != nil {
		return err
	}
	s.struck()
	for _, name := range []string{"worker", "projections", "worker-2", "projections-2", "projections-3"} {
		role := more[name]
		if role == "" {
			role = name
		}
		if err := errors.Join(s.end(name), s.start(ctx, name, role)); err != nil {
			return fmt.Errorf("replace %s: %w", name, err)
		}
	}
	after, err := s.committed(ctx)
	s.hit(after - before)
	errs := []error{err}
	for name := range more {
		errs = append(errs, s.end(name))
	}
	return errors.Join(errs...)
}

// stepClock steps the clock that PostgreSQL reads.
func stepClock(ctx context.Context, s *strike) error {
	if err := s.setClock(ctx, time.Hour); err != nil {
		return err
	}
	s.struck()
	return s.during(ctx, func() error {
		err := s.setClock(ctx, 0)
		ahead, countErr := s.count(ctx, "SELECT count(*) FROM waiting_room_events WHERE position > $1 AND created_at > $2", s.work.began, time.Now().Add(30*time.Minute))
		s.hit(ahead)
		return errors.Join(err, countErr)
	})
}

// fillDisk takes the rest of the disk that the database is on.
func fillDisk(ctx context.Context, s *strike) error {
	filler := filepath.Join(s.dir, "filler")
	file, err := os.Create(filler)
	if err != nil {
		return err
	}
	err = until(ctx, 5*time.Second, func() (bool, error) { return true, takeRest(file) })
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(filler))
	}
	s.struck()
	return s.during(ctx, func() error {
		if err := os.Remove(filler); err != nil {
			return err
		}
		select { // it has ended if it could not write its log
		case <-s.database.Done():
			return s.database.Restart(ctx)
		default:
			return nil
		}
	})
}

// takeRest lets a file take what is free on its disk, but for a little. It fails where
// somebody else takes some of that meanwhile.
func takeRest(file *os.File) error {
	var disk syscall.Statfs_t
	if err := syscall.Fstatfs(int(file.Fd()), &disk); err != nil {
		return err
	}
	free := int64(disk.Bavail) * disk.Bsize //nolint:gosec // it fits
	if err := syscall.Fallocate(int(file.Fd()), 0, 0, free-1<<16); err != nil {
		return fmt.Errorf("take %d bytes: %w", free, err)
	}
	return nil
}

// killRebuild kills the API three times while it rebuilds the monitor.
func killRebuild(ctx context.Context, s *strike) error {
	if err := s.storePast(ctx, 300_000); err != nil {
		return err
	}
	before, err := s.rebuildOf(ctx, "monitor")
	if err != nil {
		return err
	}
	if err := s.orderRebuild(ctx, "monitor"); err != nil {
		return err
	}
	last := rebuildRow{}
	for n := range 3 {
		if err := s.rebuilding(ctx, before, last); err != nil {
			return fmt.Errorf("before kill %d: %w", n+1, err)
		}
		s.struck()
		pause(ctx, writesFor)
		if last, err = s.killRebuilding(ctx, last); err != nil {
			return fmt.Errorf("kill %d: %w", n+1, err)
		}
		s.hit(1)
	}
	done, err := s.rebuilt(ctx, "monitor", before)
	if err != nil {
		return err
	}
	if !done.StartedAt.Equal(last.StartedAt) || !done.EndedAt.After(last.At) {
		return fmt.Errorf("the rebuild that ended is not the one that was killed: %+v, killed %+v", done, last)
	}
	return nil
}

// writesFor is how long clients write while the rebuild goes on.
const writesFor = 200 * time.Millisecond

// rebuilding waits until the rebuild has come further than it had when it was killed last.
func (s *strike) rebuilding(ctx context.Context, before, last rebuildRow) error {
	return until(ctx, 30*time.Second, func() (bool, error) {
		now, err := s.rebuildOf(ctx, "monitor")
		return now.StartedAt.After(before.StartedAt) && now.Events > last.Events, err
	})
}

// killRebuilding kills the API and returns how its rebuild stands then. It has to be the
// one that was killed last, and further.
func (s *strike) killRebuilding(ctx context.Context, last rebuildRow) (now rebuildRow, err error) {
	if err := s.kill("api"); err != nil {
		return now, err
	}
	now, err = s.rebuildOf(ctx, "monitor")
	if err := errors.Join(err, s.restart(ctx, "api")); err != nil {
		return now, err
	}
	if now.Status != rebuildReplaying || now.Events <= last.Events || !last.At.IsZero() && !now.StartedAt.Equal(last.StartedAt) {
		return now, fmt.Errorf("no rebuild was broken off that had gone on: %+v, before %+v", now, last)
	}
	return now, nil
}

// storePast stores check-ins of queues that nobody uses any more, once for all rounds,
// and lets the projections have them.
func (s *strike) storePast(ctx context.Context, events int) error {
	there, err := s.count(ctx, "SELECT count(*) FROM waiting_room_events WHERE aggregate_id = 'past-0'")
	if err != nil || there > 0 {
		return err
	}
	err = s.exec(ctx, `
		INSERT INTO waiting_room_events (aggregate_id, version, event_name, payload, metadata)
		SELECT q, v, CASE WHEN v = 1 THEN 'WaitingQueueCreated' ELSE 'PatientCheckedIn' END,
		       CASE WHEN v = 1 THEN jsonb_build_object('queueId', q, 'queueName', q, 'maxCapacity', 100000)
		       ELSE jsonb_build_object('queueId', q, 'patientId', 'p' || v, 'patientName', 'Perpetua Testname', 'priority', 'Low',
		           'consultationType', 'X-ray', 'queuePosition', v - 1, 'checkInTime', '2026-02-19T10:00:00Z') END,
		       jsonb_build_object('schemaVersion', 1, 'occurredAt', '2026-02-19T10:00:00Z')
		FROM (SELECT 'past-' || (i % 100) AS q, i / 100 + 1 AS v FROM generate_series(0, $1::bigint - 1) i) AS numbers ORDER BY v, q`, events)
	if err != nil {
		return err
	}
	_, err = s.compare(ctx) // nothing has told the projections of them
	return err
}
