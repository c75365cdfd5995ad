package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

func operationFaults() []fault {
	return []fault{
		{name: "rolling-sigterm", what: "two workers and three projection workers get SIGTERM in turn, each is replaced", strike: rollingStop},
		{name: "rebuild-killed", what: "a rebuild of 300,000 events during writes, killed three times", gated: true, strike: killRebuild},
		{name: "clock-stepped", what: "PostgreSQL's clock steps an hour ahead and back", lasts: 5 * time.Second, special: true, gated: true, strike: stepClock},
		{name: "disk-full", what: "the database's disk is full, for 5 s", lasts: 5 * time.Second, special: true, gated: true, strike: fillDisk},
	}
}

// rollingStop replaces every one of several workers while the others take over.
func rollingStop(ctx context.Context, s *system, _ time.Duration) error {
	more := map[string]string{"worker-2": "worker", "projections-2": "projections", "projections-3": "projections"}
	for name, role := range more {
		if err := s.start(ctx, name, role); err != nil {
			return err
		}
	}
	for _, name := range []string{"worker", "projections", "worker-2", "projections-2", "projections-3"} {
		role := more[name]
		if role == "" {
			role = name
		}
		if err := errors.Join(s.end(name), s.start(ctx, name, role)); err != nil {
			return fmt.Errorf("replace %s: %w", name, err)
		}
	}
	var errs []error
	for name := range more {
		errs = append(errs, s.end(name))
	}
	return errors.Join(errs...)
}

// killRebuild kills the API three times while it rebuilds the monitor.
func killRebuild(ctx context.Context, s *system, _ time.Duration) error {
	if err := s.storePast(ctx, 300_000); err != nil {
		return err
	}
	s.struck()
	var ignored map[string]any
	if err := s.ask(ctx, http.MethodPost, "/api/projections/rebuild?projectionId=monitor", "", &ignored); err != nil {
		return err
	}
	for n := range int64(3) {
		// Each time it is a bit further.
		err := until(ctx, 30*time.Second, func() (is bool, err error) {
			err = s.pool.QueryRow(ctx, "SELECT status <> 'REPLAYING' OR events > $1 FROM projection_rebuilds WHERE projection_id = 'monitor'", n*50_000).Scan(&is)
			return is, err
		})
		if err := errors.Join(err, s.kill("api"), s.restart(ctx, "api")); err != nil {
			return fmt.Errorf("kill %d: %w", n+1, err)
		}
	}
	err := until(ctx, 60*time.Second, func() (is bool, err error) {
		err = s.pool.QueryRow(ctx, "SELECT status = 'DONE' FROM projection_rebuilds WHERE projection_id = 'monitor'").Scan(&is)
		return is, err
	})
	if err != nil {
		return fmt.Errorf("wait for the rebuild's end: %w", err)
	}
	return s.compared(ctx, "monitor")
}

// compared fails where the last rebuild found rows that differ.
func (s *system) compared(ctx context.Context, projection string) error {
	var differences string
	err := s.pool.QueryRow(ctx, `
		SELECT coalesce(string_agg(d::text, ' '), '') FROM projection_rebuilds, jsonb_array_elements(differences) d
		WHERE projection_id = $1 AND (d ->> 'onlyLive')::bigint + (d ->> 'onlyRebuilt')::bigint > 0`, projection).Scan(&differences)
	if err != nil {
		return err
	}
	if differences != "" {
		return fmt.Errorf("the rebuilt rows of %s differ: %s", projection, differences)
	}
	return nil
}

// storePast stores check-ins of queues that nobody uses any more, once for all rounds,
// and lets the projections have them.
func (s *system) storePast(ctx context.Context, events int) error {
	var there bool
	if err := s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM waiting_room_events WHERE aggregate_id = 'past-0')").Scan(&there); err != nil || there {
		return err
	}
	err := s.exec(ctx, `
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
	for _, projection := range projectionIDs() {
		var ignored map[string]any
		if err := s.ask(ctx, http.MethodPost, "/api/projections/rebuild?projectionId="+projection, "", &ignored); err != nil {
			return err
		}
		err := until(ctx, time.Minute, func() (is bool, err error) {
			err = s.pool.QueryRow(ctx, "SELECT status = 'DONE' FROM projection_rebuilds WHERE projection_id = $1", projection).Scan(&is)
			return is, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// stepClock steps the clock that PostgreSQL reads.
func stepClock(ctx context.Context, s *system, lasts time.Duration) error {
	if err := s.setClock(ctx, time.Hour); err != nil {
		return err
	}
	s.struck()
	return during(ctx, lasts, func() error { return s.setClock(ctx, 0) })
}

// fillDisk takes the rest of the disk that the database is on.
func fillDisk(ctx context.Context, s *system, lasts time.Duration) error {
	filler := filepath.Join(s.dir, "filler")
	var disk syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &disk); err != nil {
		return err
	}
	file, err := os.Create(filler)
	if err != nil {
		return err
	}
	free := int64(disk.Bavail) * disk.Bsize //nolint:gosec // it fits
	err = syscall.Fallocate(int(file.Fd()), 0, 0, free-1<<16)
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("take %d bytes: %w", free, err), os.Remove(filler))
	}
	s.struck()
	return during(ctx, lasts, func() error {
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
