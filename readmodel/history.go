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
	apply: func(b *pgx.Batch, r schema.Recorded) {
		if e, ok := r.Event.(schema.PatientAttentionCompleted); ok {
			b.Queue(`
				INSERT INTO recent_history_view (queue_id, version, patient_id, patient_name, priority, consultation_type,
					outcome, notes, completed_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
				e.QueueID, r.Metadata.Version, e.PatientID, e.PatientName, e.Priority, e.ConsultationType,
				e.Outcome, e.Notes, r.Metadata.OccurredAt)
		}
	},
}

// FinishedVisit is one row of recent_history_view.
type FinishedVisit struct {
	PatientID        string
	PatientName      string
	Priority         string
	ConsultationType string
	Outcome          string
	Notes            string
	CompletedAt      time.Time
}

// RecentHistory returns the last visits of a queue, newest first, at most limit.
func (s *Store) RecentHistory(ctx context.Context, queueID string, limit int) ([]FinishedVisit, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT patient_id, patient_name, priority, consultation_type, outcome, notes, completed_at
		FROM recent_history_view WHERE queue_id = $1 ORDER BY version DESC LIMIT $2`, queueID, limit)
	if err != nil {
		return nil, fmt.Errorf("read the history of queue %q: %w", queueID, err)
	}
	visits, err := pgx.CollectRows(rows, pgx.RowToStructByPos[FinishedVisit])
	if err != nil {
		return nil, fmt.Errorf("read the history of queue %q: %w", queueID, err)
	}
	return visits, nil
}
