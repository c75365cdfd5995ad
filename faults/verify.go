package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rlapp/rlapp/readmodel"
)

// counts are what a round found. All but Duplicates and Asked have to be 0.
type counts struct {
	Lost       int64 `json:"lost"`
	Phantom    int64 `json:"phantom"`
	Doubled    int64 `json:"doubled"`
	OutOfOrder int64 `json:"outOfOrder"`
	Stuck      int64 `json:"stuck"`

	Acknowledged int64 `json:"acknowledged"`
	Rejected     int64 `json:"rejected"`
	// Asked are the requests that were sent again, since they got no answer.
	Asked int64 `json:"asked"`
	// Duplicates are the deliveries of an event to the recorder after the first.
	Duplicates int64 `json:"duplicates"`
	// Recovery is from the mending of the fault until all that was committed by then is
	// through, in seconds.
	Recovery float64 `json:"recovery"`
}

func (c counts) wrong() bool { return c.Lost+c.Phantom+c.Doubled+c.OutOfOrder+c.Stuck > 0 }

func projectionIDs() (ids []string) {
	for _, p := range readmodel.Projections() {
		ids = append(ids, p.ID)
	}
	return ids
}

// span are the events of a round by their positions: behind from, up to to.
type span struct{ from, to int64 }

// committed returns the position of the last event.
func (s *system) committed(ctx context.Context) (position int64, err error) {
	err = s.pool.QueryRow(ctx, "SELECT coalesce(max(position), 0) FROM waiting_room_events").Scan(&position)
	return position, err
}

// pending is what is not through yet of some events: rows of the outbox, queues that a
// projection lacks events of, and check-ins that the recorder has not got.
func (s *system) pending(ctx context.Context, w *workload, of span) (n int64, err error) {
	got := []string{}
	for _, d := range s.recorder.of(w.prefix) {
		got = append(got, d.EventID)
	}
	err = s.pool.QueryRow(ctx, `
		WITH events AS MATERIALIZED (
			SELECT aggregate_id, version, event_id, event_name FROM waiting_room_events
			WHERE position > $3 AND position <= $4 AND starts_with(aggregate_id, $1)
		)
		SELECT (SELECT count(*) FROM waiting_room_outbox WHERE NOT published AND event_id IN (SELECT event_id FROM events))
		     + (SELECT count(*) FROM (SELECT aggregate_id, max(version) AS version FROM events GROUP BY 1) AS e
		        LEFT JOIN projection_queue_versions v USING (aggregate_id)
		        CROSS JOIN unnest($2::text[]) AS p (id) WHERE coalesce((v.versions ->> p.id)::bigint, 0) < e.version)
		     + (SELECT count(*) FROM events WHERE event_name = 'PatientCheckedIn' AND event_id <> ALL ($5::uuid[]))`,
		w.prefix, projectionIDs(), of.from, of.to, got).Scan(&n)
	return n, err
}

// settleLimit is the promise: after a fault is mended everything is through by then.
const settleLimit = 30 * time.Second

// settle waits until some events are through, and returns what is not by the limit.
func (s *system) settle(ctx context.Context, w *workload, of span, mended time.Time) (stuck int64, err error) {
	for {
		if stuck, err = s.pending(ctx, w, of); err == nil && stuck == 0 {
			return 0, nil
		}
		if ctx.Err() != nil || time.Since(mended) > settleLimit {
			return stuck, errors.Join(err, ctx.Err())
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// check counts what is wrong after a round. It asks in SQL and by what the recorder
// got, so that it does not depend on the code under test.
func (s *system) check(ctx context.Context, w *workload) (c counts, err error) {
	acknowledgedOnes, queues, patients := w.acknowledged(&c)
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return c, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	_, err = tx.Exec(ctx, `CREATE TEMP TABLE acknowledged (queue_id TEXT, patient_id TEXT, PRIMARY KEY (queue_id, patient_id)) ON COMMIT DROP`)
	if err == nil {
		_, err = tx.Exec(ctx, `INSERT INTO acknowledged SELECT DISTINCT * FROM unnest($1::text[], $2::text[])`, queues, patients)
	}
	if err == nil {
		_, err = tx.Exec(ctx, `
			CREATE TEMP TABLE stored ON COMMIT DROP AS
			SELECT aggregate_id AS queue_id, payload ->> 'patientId' AS patient_id, event_id::text AS event_id,
			       row_number() OVER (PARTITION BY aggregate_id ORDER BY version) AS rank
			FROM waiting_room_events WHERE event_name = 'PatientCheckedIn' AND starts_with(aggregate_id, '`+w.prefix+`')`)
	}
	if err != nil {
		return c, fmt.Errorf("prepare the check: %w", err)
	}
	for _, question := range []struct {
		into *int64
		sql  string
	}{
		{&c.Lost, `SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (SELECT FROM stored s WHERE s.queue_id = a.queue_id AND s.patient_id = a.patient_id)`},
		{&c.Lost, `SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (
			SELECT FROM waiting_patients_view v WHERE v.queue_id = a.queue_id AND v.patient_id = a.patient_id)`},
		{&c.Lost, `SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (
			SELECT FROM next_turn_view v WHERE v.queue_id = a.queue_id AND v.patient_id = a.patient_id)`},
		{&c.Lost, `SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (
			SELECT FROM patient_journey_view v WHERE v.queue_id = a.queue_id AND v.patient_id = a.patient_id)`},
		{&c.Phantom, `SELECT count(*) FROM (SELECT queue_id, patient_id FROM stored EXCEPT SELECT * FROM acknowledged) AS p`},
		{&c.Phantom, `SELECT count(*) FROM waiting_patients_view v WHERE starts_with(queue_id, $1) AND NOT EXISTS (
			SELECT FROM stored s WHERE s.queue_id = v.queue_id AND s.patient_id = v.patient_id)`},
		{&c.Doubled, `SELECT count(*) - count(DISTINCT (queue_id, patient_id)) FROM stored`},
		{&c.Doubled, `SELECT count(*) - count(DISTINCT (queue_id, patient_id)) FROM patient_journey_view WHERE starts_with(queue_id, $1)`},
		{&c.Doubled, `SELECT count(*) FROM waiting_queue_view q WHERE starts_with(queue_id, $1)
			AND total_patients_waiting <> (SELECT count(*) FROM stored s WHERE s.queue_id = q.queue_id)`},
		{&c.OutOfOrder, `SELECT count(*) FROM stored s JOIN waiting_patients_view v USING (queue_id, patient_id) WHERE v.queue_position <> s.rank`},
		{&c.Stuck, `SELECT count(*) FROM poison_messages WHERE status = 'WAITING' AND starts_with(coalesce(aggregate_id, ''), $1)`},
		{&c.Stuck, `SELECT count(*) FROM waiting_room_outbox WHERE parked_at IS NOT NULL AND NOT published AND starts_with(aggregate_id, $1)`},
	} {
		var n int64
		if err := tx.QueryRow(ctx, strings.ReplaceAll(question.sql, "$1", "'"+w.prefix+"'")).Scan(&n); err != nil {
			return c, fmt.Errorf("check: %w", err)
		}
		*question.into += n
	}
	c.Acknowledged = acknowledgedOnes
	s.checkDeliveries(w, &c)
	return c, nil
}

// acknowledged are the check-ins that were answered with success.
func (w *workload) acknowledged(c *counts) (n int64, queues, patients []string) {
	for _, r := range w.requests {
		switch r.outcome {
		case acknowledged:
			n++
			queues, patients = append(queues, r.Queue), append(patients, r.Patient)
		case rejected:
			c.Rejected++
		case indeterminate:
			c.Stuck++ // it can always ask again
		}
	}
	return n, queues, patients
}

// checkDeliveries looks at what the plugin got: after duplicates are left out, each
// queue's events come in their order.
func (s *system) checkDeliveries(w *workload, c *counts) {
	last, seen := map[string]int64{}, map[string]bool{}
	for _, d := range s.recorder.of(w.prefix) {
		if seen[d.EventID] {
			c.Duplicates++
			continue
		}
		seen[d.EventID] = true
		if d.Version < last[d.Queue] {
			c.OutOfOrder++
		}
		last[d.Queue] = max(last[d.Queue], d.Version)
	}
}
