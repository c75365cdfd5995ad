package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/readmodel"
)

// counts are what a round found. The first ones have to be 0.
type counts struct {
	Lost       int64 `json:"lost"`
	Phantom    int64 `json:"phantom"`
	Doubled    int64 `json:"doubled"`
	OutOfOrder int64 `json:"outOfOrder"`
	Stuck      int64 `json:"stuck"`
	// Misanswered are answers that are none: 500, a refusal without a reason, another
	// version than was stored, and none at all where nobody may notice the fault.
	Misanswered int64 `json:"misanswered"`

	Acknowledged int64 `json:"acknowledged"`
	Rejected     int64 `json:"rejected"`
	// Asked are the requests that were sent again, since they got no answer, and Replayed
	// those that had been carried out by then.
	Asked    int64 `json:"asked"`
	Replayed int64 `json:"replayed"`
	// Duplicates are the deliveries of an event to the recorder after the first.
	Duplicates int64 `json:"duplicates"`
	// Hits is what the fault counted of its effects, and Held what it held up.
	Hits int64 `json:"hits"`
	Held int64 `json:"held"`
	// Slowest is how long the slowest answer took, in seconds.
	Slowest float64 `json:"slowest"`
	// Recovery is from the mending of the fault until all that was committed by then is
	// through, in seconds.
	Recovery float64 `json:"recovery"`
}

func (c counts) wrong() bool {
	return c.Lost+c.Phantom+c.Doubled+c.OutOfOrder+c.Stuck+c.Misanswered > 0
}

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
	return s.count(ctx, "SELECT coalesce(max(position), 0) FROM waiting_room_events")
}

// pending is what is not through yet of some events: rows of the outbox, queues that a
// projection lacks events of, and check-ins that the recorder has not got.
func (s *system) pending(ctx context.Context, w *workload, of span) (n int64, err error) {
	got := []string{}
	for _, d := range s.recorder.of(w.prefix) {
		got = append(got, d.EventID)
	}
	return s.count(ctx, `
		WITH events AS MATERIALIZED (
			SELECT aggregate_id, version, event_id, event_name, position FROM waiting_room_events
			WHERE position > $3 AND position <= $4 AND starts_with(aggregate_id, $1)
		)
		SELECT (SELECT count(*) FROM waiting_room_outbox WHERE NOT published AND event_id IN (SELECT event_id FROM events))
		     + (SELECT count(*) FROM (SELECT aggregate_id, max(version) AS version FROM events GROUP BY 1) AS e
		        LEFT JOIN projection_queue_versions v USING (aggregate_id)
		        CROSS JOIN unnest($2::text[]) AS p (id) WHERE coalesce((v.versions ->> p.id)::bigint, 0) < e.version)
		     + (SELECT count(*) FROM events WHERE event_name = 'PatientCheckedIn' AND event_id <> ALL ($5::uuid[]))`,
		w.prefix, projectionIDs(), of.from, of.to, got)
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
	w.judge(&c)
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return c, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := w.prepare(ctx, tx); err != nil {
		return c, fmt.Errorf("prepare the check: %w", err)
	}
	for _, question := range questions(&c) {
		var n int64
		if err := tx.QueryRow(ctx, strings.ReplaceAll(question.sql, "$1", "'"+w.prefix+"'")).Scan(&n); err != nil {
			return c, fmt.Errorf("check: %w: %s", err, question.sql)
		}
		*question.into += n
	}
	stored := map[string]int64{}
	rows, err := tx.Query(ctx, "SELECT event_id, position FROM stored WHERE event_name = 'PatientCheckedIn'")
	if err != nil {
		return c, err
	}
	var (
		id       string
		position int64
	)
	if _, err = pgx.ForEachRow(rows, []any{&id, &position}, func() error { stored[id] = position; return nil }); err != nil {
		return c, err
	}
	c.deliveries(s.recorder.of(w.prefix), stored, w.missed)
	return c, nil
}

// prepare makes tables of what was acknowledged, of what is stored, and of where each
// patient who is present stands by that.
func (w *workload) prepare(ctx context.Context, tx pgx.Tx) error {
	var queues, patients, events []string
	var versions []int64
	for _, r := range w.requests {
		if r.Outcome == acknowledged {
			queues, patients = append(queues, r.Queue), append(patients, r.Patient)
			events, versions = append(events, commands[r.Command].event), append(versions, r.Version)
		}
	}
	_, err := tx.Exec(ctx, `CREATE TEMP TABLE acknowledged ON COMMIT DROP AS
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS a (queue_id, patient_id, event_name, version)`, queues, patients, events, versions)
	if err != nil {
		return err
	}
	statements := []string{fmt.Sprintf(`CREATE TEMP TABLE stored ON COMMIT DROP AS
		SELECT aggregate_id AS queue_id, coalesce(payload ->> 'patientId', '') AS patient_id, event_name, version, event_id::text AS event_id, position
		FROM waiting_room_events WHERE position > %d AND starts_with(aggregate_id, '%s')`, w.began, w.prefix), `CREATE TEMP TABLE present ON COMMIT DROP AS
		SELECT queue_id, patient_id, arrival, status, place, turn FROM (
			SELECT DISTINCT ON (queue_id, patient_id) queue_id, patient_id, event_name,
			       max(version) FILTER (WHERE event_name = 'PatientCheckedIn') OVER (PARTITION BY queue_id, patient_id) AS arrival
			FROM stored WHERE patient_id <> '' ORDER BY queue_id, patient_id, version DESC
		) AS last JOIN (VALUES
			('PatientCheckedIn', 'waiting-cashier', '', 'waiting'), ('PatientCalledAtCashier', 'at-cashier', '` + theDesk + `', 'cashier-called'),
			('PatientPaymentValidated', 'waiting-consultation', '', 'waiting'), ('PatientClaimedForAttention', 'called', '` + theRoom + `', 'claimed'),
			('PatientCalled', 'in-consultation', '` + theRoom + `', 'called')
		) AS standing (event_name, status, place, turn) USING (event_name)`}
	for _, table := range []string{"acknowledged", "stored", "present"} {
		statements = append(statements, "CREATE INDEX ON "+table+" (queue_id, patient_id)", "ANALYZE "+table)
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// question is what is counted, and what it is counted as.
type question struct {
	into *int64
	sql  string
}

// questions are asked of what prepare made, of the read models and of the outbox.
func questions(c *counts) []question {
	return []question{
		{&c.Lost, `SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (
			SELECT FROM stored s WHERE s.queue_id = a.queue_id AND s.patient_id = a.patient_id AND s.event_name = a.event_name)`},
		{&c.Lost, `SELECT coalesce(sum(lacking), 0) FROM (SELECT max(version) - count(*) AS lacking FROM stored GROUP BY queue_id) AS q`},
		{&c.Phantom, `SELECT count(*) FROM stored s WHERE event_name <> 'WaitingQueueCreated' AND NOT EXISTS (
			SELECT FROM acknowledged a WHERE s.queue_id = a.queue_id AND s.patient_id = a.patient_id AND s.event_name = a.event_name)`},
		{&c.Doubled, `SELECT count(*) - count(DISTINCT (queue_id, patient_id, event_name)) FROM stored`},
		{&c.Misanswered, `SELECT count(*) FROM acknowledged a JOIN stored s USING (queue_id, patient_id, event_name) WHERE a.version <> s.version`},

		{&c.Lost, `SELECT count(DISTINCT queue_id) FROM stored s WHERE NOT EXISTS (SELECT FROM waiting_queue_view v WHERE v.queue_id = s.queue_id)`},
		{&c.Doubled, `SELECT count(*) FROM waiting_queue_view q WHERE starts_with(queue_id, $1)
			AND total_patients_waiting <> (SELECT count(*) FROM present p WHERE p.queue_id = q.queue_id AND p.turn <> 'called')`},

		{&c.Lost, `SELECT count(*) FROM present p WHERE NOT EXISTS (
			SELECT FROM waiting_patients_view v WHERE v.queue_id = p.queue_id AND v.patient_id = p.patient_id)`},
		{&c.Phantom, `SELECT count(*) FROM waiting_patients_view v WHERE starts_with(queue_id, $1) AND NOT EXISTS (
			SELECT FROM present p WHERE p.queue_id = v.queue_id AND p.patient_id = v.patient_id)`},
		{&c.OutOfOrder, `SELECT count(*) FROM present p JOIN waiting_patients_view v USING (queue_id, patient_id)
			WHERE (v.status, v.place, v.arrival) <> (p.status, p.place, p.arrival)`},
		{&c.Lost, `SELECT count(*) FROM stored s WHERE event_name = 'ConsultingRoomActivated' AND NOT EXISTS (
			SELECT FROM consulting_rooms_view v WHERE v.queue_id = s.queue_id AND v.is_active)`},

		{&c.Lost, `SELECT count(*) FROM present p WHERE NOT EXISTS (
			SELECT FROM next_turn_view v WHERE v.queue_id = p.queue_id AND v.patient_id = p.patient_id)`},
		{&c.Phantom, `SELECT count(*) FROM next_turn_view v WHERE starts_with(queue_id, $1) AND NOT EXISTS (
			SELECT FROM present p WHERE p.queue_id = v.queue_id AND p.patient_id = v.patient_id)`},
		{&c.OutOfOrder, `SELECT count(*) FROM present p JOIN next_turn_view v USING (queue_id, patient_id) WHERE (v.status, v.arrival) <> (p.turn, p.arrival)`},

		{&c.Lost, `SELECT count(*) FROM stored s WHERE event_name = 'PatientAttentionCompleted' AND NOT EXISTS (
			SELECT FROM recent_history_view v WHERE v.queue_id = s.queue_id AND v.version = s.version AND v.patient_id = s.patient_id)`},
		{&c.Phantom, `SELECT count(*) FROM recent_history_view v WHERE starts_with(queue_id, $1) AND NOT EXISTS (
			SELECT FROM stored s WHERE v.queue_id = s.queue_id AND v.version = s.version AND s.event_name = 'PatientAttentionCompleted')`},

		{&c.Lost, `SELECT count(*) FROM stored s WHERE patient_id <> '' AND NOT EXISTS (
			SELECT FROM patient_journey_view v WHERE v.queue_id = s.queue_id AND v.patient_id = s.patient_id AND v.version = s.version AND v.event_name = s.event_name)`},
		{&c.Doubled, `SELECT count(*) FROM patient_journey_view v WHERE starts_with(queue_id, $1) AND NOT EXISTS (
			SELECT FROM stored s WHERE v.queue_id = s.queue_id AND v.patient_id = s.patient_id AND v.version = s.version)`},

		{&c.Stuck, `SELECT count(*) FROM poison_messages WHERE status = 'WAITING' AND starts_with(coalesce(aggregate_id, ''), $1)`},
		{&c.Stuck, `SELECT count(*) FROM waiting_room_outbox WHERE parked_at IS NOT NULL AND NOT published AND starts_with(aggregate_id, $1)`},
		// An event that failed waits for 30 s, which breaks the promise at the end of a fault.
		{&c.Stuck, `SELECT count(*) FROM waiting_room_outbox WHERE retry_count > 0 AND starts_with(aggregate_id, $1)`},
	}
}

// deliveries looks at what the plugin got: after duplicates are left out, each queue's
// events come in their order, but for those up to a position that it had missed, and each
// is stored, at the position that is given for it.
func (c *counts) deliveries(got []delivery, stored map[string]int64, missed int64) {
	last, seen := map[string]int64{}, map[string]bool{}
	for _, d := range got {
		if seen[d.EventID] {
			c.Duplicates++
			continue
		}
		seen[d.EventID] = true
		position, known := stored[d.EventID]
		if !known {
			c.Phantom++
		}
		if d.Version < last[d.Queue] && position > missed {
			c.OutOfOrder++
		}
		last[d.Queue] = max(last[d.Queue], d.Version)
	}
}
