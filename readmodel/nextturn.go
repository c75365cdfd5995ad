package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// NextTurn keeps who has been called, and who comes next.
var NextTurn = Projection{
	ID:     "next-turn",
	tables: []string{"next_turn_view"},
	apply: func(b *pgx.Batch, r schema.Recorded) {
		at := r.Metadata.OccurredAt
		switch e := r.Event.(type) {
		case schema.PatientCheckedIn:
			b.Queue(`
				INSERT INTO next_turn_view (queue_id, patient_id, patient_name, priority, priority_rank, consultation_type,
					status, check_in_time, projected_at)
				VALUES ($1, $2, $3, $4, array_position(ARRAY['Low', 'Medium', 'High', 'Urgent'], $4), $5, 'waiting', $6, now())`,
				e.QueueID, e.PatientID, e.PatientName, e.Priority, e.ConsultationType, e.CheckInTime)
		case schema.PatientCalledAtCashier:
			b.Queue(setTurn, e.QueueID, e.PatientID, "cashier-called", nil, nil, nil)
		case schema.PatientPaymentValidated:
			b.Queue(setTurn, e.QueueID, e.PatientID, "waiting", nil, nil, nil)
		case schema.PatientAbsentAtCashier:
			b.Queue(setTurn, e.QueueID, e.PatientID, "waiting", nil, nil, nil)
		case schema.PatientClaimedForAttention:
			b.Queue(setTurn, e.QueueID, e.PatientID, "claimed", at, nil, e.StationID)
		case schema.PatientCalled:
			b.Queue(`
				UPDATE next_turn_view SET status = 'called', called_at = $3, station_id = $4, projected_at = now()
				WHERE queue_id = $1 AND patient_id = $2`, e.QueueID, e.PatientID, at, e.StationID)
		case schema.PatientAbsentAtConsultation:
			b.Queue(setTurn, e.QueueID, e.PatientID, "waiting", nil, nil, nil)
		case schema.PatientAttentionCompleted:
			b.Queue(endTurn, e.QueueID, e.PatientID)
		case schema.PatientCancelledByPayment:
			b.Queue(endTurn, e.QueueID, e.PatientID)
		case schema.PatientCancelledByAbsence:
			b.Queue(endTurn, e.QueueID, e.PatientID)
		}
	},
}

const (
	setTurn = `
		UPDATE next_turn_view SET status = $3, claimed_at = $4, called_at = $5, station_id = $6, projected_at = now()
		WHERE queue_id = $1 AND patient_id = $2`
	endTurn = `DELETE FROM next_turn_view WHERE queue_id = $1 AND patient_id = $2`
)

// Turn is one patient's row of next_turn_view.
type Turn struct {
	PatientID        string
	PatientName      string
	Priority         string
	ConsultationType string
	Status           string
	CheckInTime      time.Time
	ClaimedAt        *time.Time
	CalledAt         *time.Time
	StationID        *string
	ProjectedAt      time.Time
}

// NextTurnOf returns whose turn it is in a queue: one who has been called and
// has not come yet, else the first in the line by priority, then check-in. It
// returns *NotFoundError for a queue with nobody to call.
func (s *Store) NextTurnOf(ctx context.Context, queueID string) (Turn, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT patient_id, patient_name, priority, consultation_type, status, check_in_time, claimed_at, called_at, station_id, projected_at
		FROM next_turn_view WHERE queue_id = $1
		ORDER BY array_position(ARRAY['claimed', 'cashier-called', 'waiting', 'called'], status), priority_rank DESC, check_in_time
		LIMIT 1`, queueID)
	if err != nil {
		return Turn{}, fmt.Errorf("read the next turn of queue %q: %w", queueID, err)
	}
	return one(rows, pgx.RowToStructByPos[Turn], "next turn of queue", queueID)
}
