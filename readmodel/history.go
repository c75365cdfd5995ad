package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// History keeps the finished consultations.
var History = Projection{
	ID:     "history",
	tables: []string{"recent_history_view"},
	apply:  applyHistory,
}

func applyHistory(b *pgx.Batch, events []schema.Recorded) {
	var (
		k                                           keys
		versions                                    []int64
		names, priorities, types, outcomes, remarks []string
		times                                       []time.Time
	)
	for _, r := range events {
		if e, ok := r.Event.(schema.PatientAttentionCompleted); ok {
			k.add(patient{e.QueueID, e.PatientID})
			versions, times = append(versions, r.Metadata.Version), append(times, r.Metadata.OccurredAt)
			names, priorities, types = append(names, e.PatientName), append(priorities, e.Priority), append(types, e.ConsultationType)
			outcomes, remarks = append(outcomes, e.Outcome), append(remarks, e.Notes)
		}
	}
	if len(versions) > 0 {
		b.Queue(`
			INSERT INTO recent_history_view (queue_id, version, patient_id, patient_name, priority, consultation_type,
				outcome, notes, completed_at)
			SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
				$8::text[], $9::timestamptz[])`,
			k.queueIDs, versions, k.patientIDs, names, priorities, types, outcomes, remarks, times)
	}
}

// FinishedVisit is one row of recent_history_view.
type FinishedVisit struct {
	// Version is that of the event which ended the visit.
	Version          int64
	PatientID        string
	PatientName      string
	Priority         string
	ConsultationType string
	Outcome          string
	Notes            string
	CompletedAt      time.Time
	// CheckInTime and BegunAt, when the consultation began, are of the projection
	// "journey"; nil as long as that has not got so far.
	CheckInTime, BegunAt *time.Time
}

// RecentHistory returns the last visits of a queue that ended before a version, all for
// 0, newest first, at most limit.
func (s *Store) RecentHistory(ctx context.Context, queueID string, before int64, limit int) ([]FinishedVisit, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT v.version, v.patient_id, patient_name, priority, consultation_type, outcome, notes, completed_at, j.check_in_time, j.begun_at
		FROM (
			SELECT * FROM recent_history_view WHERE queue_id = $1 AND ($2::bigint = 0 OR version < $2) ORDER BY version DESC LIMIT $3
		) AS v LEFT JOIN LATERAL (
			SELECT max(occurred_at) FILTER (WHERE event_name = 'PatientCheckedIn') AS check_in_time,
			       max(occurred_at) FILTER (WHERE event_name = 'PatientCalled') AS begun_at
			FROM patient_journey_view j
			WHERE j.queue_id = v.queue_id AND j.patient_id = v.patient_id AND j.version < v.version AND j.version >= (
				SELECT max(version) FROM patient_journey_view b
				WHERE b.queue_id = v.queue_id AND b.patient_id = v.patient_id AND b.version < v.version AND b.event_name = 'PatientCheckedIn')
		) AS j ON true
		ORDER BY v.version DESC`, queueID, before, limit)
	if err != nil {
		return nil, fmt.Errorf("read the history of queue %q: %w", queueID, err)
	}
	visits, err := pgx.CollectRows(rows, pgx.RowToStructByPos[FinishedVisit])
	if err != nil {
		return nil, fmt.Errorf("read the history of queue %q: %w", queueID, err)
	}
	return visits, nil
}
