package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// acknowledged are the check-ins that were answered with success: the events from
// 1 to events, spread over queues.
type acknowledged struct{ events, queues int }

// check is one question about the database, whose answer has to be 0.
type check struct{ what, count string }

// stored are the checks of RLAPP's event store, projected those of its read models.
// They ask in SQL, so that they do not depend on the code under test.
var (
	stored = []check{
		{"acknowledged check-ins are not in the store", `
			SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (
				SELECT FROM check_ins e WHERE e.queue_id = a.queue_id AND e.patient_id = a.patient_id)`},
		{"check-ins are in the store that nobody acknowledged, or twice", `
			SELECT abs((SELECT count(*) FROM check_ins) - (SELECT count(*) FROM acknowledged))`},
		{"check-ins are out of order in the store", `
			SELECT count(*) FROM check_ins WHERE position <> rank`},
		{"events have no outbox row, or two", `
			SELECT abs((SELECT count(*) FROM waiting_room_events) - (SELECT count(*) FROM waiting_room_outbox))`},
	}
	projected = []check{
		{"acknowledged check-ins are not in the read model", `
			SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (
				SELECT FROM waiting_patients_view v WHERE v.queue_id = a.queue_id AND v.patient_id = a.patient_id)`},
		{"patients are in the read model who should not be", `
			SELECT abs((SELECT count(*) FROM waiting_patients_view) - (SELECT count(*) FROM acknowledged))`},
		{"patients are out of order in the read model", `
			SELECT count(*) FROM check_ins e JOIN waiting_patients_view v ON v.queue_id = e.queue_id AND v.patient_id = e.patient_id
			WHERE (v.queue_position, v.arrival) <> (e.rank, e.version)`},
		{"queues count other patients than they have", `
			SELECT count(*) FROM waiting_queue_view q
			WHERE total_patients_waiting <> (SELECT count(*) FROM check_ins e WHERE e.queue_id = q.queue_id)`},
		{"patients are missing in the next turns, or too many", `
			SELECT abs((SELECT count(*) FROM next_turn_view) - (SELECT count(*) FROM acknowledged))`},
		{"journeys lack a check-in", `
			SELECT count(*) FROM check_ins e WHERE NOT EXISTS (
				SELECT FROM patient_journey_view j WHERE j.queue_id = e.queue_id AND j.patient_id = e.patient_id AND j.version = e.version)`},
		{"journeys have steps that nobody took", `
			SELECT abs((SELECT count(*) FROM patient_journey_view) - (SELECT count(*) FROM acknowledged))`},
		{"events are not marked published", `SELECT count(*) FROM waiting_room_outbox WHERE NOT published`},
		{"events are not marked processed in the lag table", `
			SELECT count(*) FROM event_processing_lag WHERE status <> 'PROCESSED'`},
		{"events were given up", `SELECT count(*) FROM poison_messages`},
	}
	peerChecks = []check{
		{"events are not in the peer's read model", `
			SELECT count(*) FROM stock_event_store e WHERE NOT EXISTS (SELECT FROM stock_view v WHERE v.id = e.id)`},
		{"acknowledged events are not in the peer's store", `
			SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (SELECT FROM stock_event_store e WHERE e.id = a.patient_id)`},
		{"events are in the peer's read model that nobody acknowledged", `
			SELECT abs((SELECT count(*) FROM stock_view) - (SELECT count(*) FROM acknowledged))`},
	}
)

// definitions are what the checks ask about.
func (a acknowledged) definitions(peer bool) string {
	acknowledged := fmt.Sprintf(`
		CREATE TEMP TABLE acknowledged ON COMMIT DROP AS
		SELECT 'queue-' || i %% %d AS queue_id, 'patient-' || i AS patient_id FROM generate_series(1, %d) i;
		ANALYZE acknowledged;`, max(a.queues, 1), a.events)
	if peer {
		return acknowledged
	}
	return acknowledged + `
		CREATE TEMP TABLE check_ins ON COMMIT DROP AS
		SELECT aggregate_id AS queue_id, payload->>'patientId' AS patient_id, (payload->>'queuePosition')::int AS position, version,
		       row_number() OVER (PARTITION BY aggregate_id ORDER BY version) AS rank
		FROM waiting_room_events WHERE event_name = 'PatientCheckedIn';
		CREATE INDEX ON check_ins (queue_id, patient_id);
		ANALYZE check_ins;`
}

// verify fails loudly where an acknowledged check-in is missing, doubled or out of
// order.
func verify(ctx context.Context, url string, a acknowledged, peer bool, checks ...check) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, a.definitions(peer)); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	var wrong []string
	for _, c := range checks {
		var count int64
		if err := tx.QueryRow(ctx, c.count).Scan(&count); err != nil {
			return fmt.Errorf("verify that no %s: %w", c.what, err)
		}
		if count != 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", count, c.what))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("WRONG, so no figure of this run counts: %s", strings.Join(wrong, "; "))
	}
	return nil
}

// verifyAll waits until the lag of the last events is written too, and verifies
// everything.
func (b *bench) verifyAll(ctx context.Context, a acknowledged) error {
	err := until(ctx, settleLimit, func() (done bool, err error) {
		err = b.pool.QueryRow(ctx, `
			SELECT NOT EXISTS (SELECT FROM waiting_room_outbox WHERE NOT published)
			   AND NOT EXISTS (SELECT FROM event_processing_lag WHERE status <> 'PROCESSED')`).Scan(&done)
		return done, err
	})
	if err != nil {
		return fmt.Errorf("wait for the last events: %w", err)
	}
	return verify(ctx, b.url, a, false, append(append([]check{}, stored...), projected...)...)
}

func (b *bench) verifyStored(ctx context.Context, a acknowledged) error {
	return verify(ctx, b.url, a, false, stored...)
}

func (b *bench) verifyPeer(ctx context.Context, a acknowledged) error {
	return verify(ctx, b.url, a, true, peerChecks...)
}
