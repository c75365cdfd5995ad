package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// QueueState lists the patients who are present, with where each one stands.
var QueueState = Projection{
	ID:     "queue-state",
	tables: []string{"waiting_patients_view"},
	apply: func(b *pgx.Batch, r schema.Recorded) {
		switch e := r.Event.(type) {
		case schema.PatientCheckedIn:
			b.Queue(`
				INSERT INTO waiting_patients_view (queue_id, patient_id, patient_name, priority, consultation_type, notes,
					status, queue_position, check_in_time, projected_at)
				VALUES ($1, $2, $3, $4, $5, $6, 'waiting-cashier', $7, $8, now())`,
				e.QueueID, e.PatientID, e.PatientName, e.Priority, e.ConsultationType, e.Notes, e.QueuePosition, e.CheckInTime)
		case schema.PatientCalledAtCashier:
			b.Queue(setStatus, e.QueueID, e.PatientID, "at-cashier")
		case schema.PatientPaymentValidated:
			b.Queue(setStatus, e.QueueID, e.PatientID, "waiting-consultation")
		case schema.PatientPaymentPending:
			b.Queue(setStatus, e.QueueID, e.PatientID, "payment-pending")
		case schema.PatientAbsentAtCashier:
			b.Queue(setStatus, e.QueueID, e.PatientID, "waiting-cashier")
		case schema.PatientClaimedForAttention:
			b.Queue(setStatus, e.QueueID, e.PatientID, "called")
		case schema.PatientCalled:
			b.Queue(setStatus, e.QueueID, e.PatientID, "in-consultation")
		case schema.PatientAbsentAtConsultation:
			b.Queue(setStatus, e.QueueID, e.PatientID, "waiting-consultation")
		case schema.PatientAttentionCompleted:
			b.Queue(endVisit, e.QueueID, e.PatientID)
		case schema.PatientCancelledByPayment:
			b.Queue(endVisit, e.QueueID, e.PatientID)
		case schema.PatientCancelledByAbsence:
			b.Queue(endVisit, e.QueueID, e.PatientID)
		}
	},
}

const (
	setStatus = `UPDATE waiting_patients_view SET status = $3, projected_at = now() WHERE queue_id = $1 AND patient_id = $2`
	endVisit  = `DELETE FROM waiting_patients_view WHERE queue_id = $1 AND patient_id = $2`
)

// PresentPatient is one row of waiting_patients_view.
type PresentPatient struct {
	PatientID        string
	PatientName      string
	Priority         string
	ConsultationType string
	Status           string
	CheckInTime      time.Time
}

// QueueStateView is a queue with the patients who are present.
type QueueStateView struct {
	QueueID     string
	MaxCapacity int
	// Patients are in the order of their turn: by priority, then check-in.
	Patients    []PresentPatient
	ProjectedAt time.Time
}

// QueueStateOf returns the state of a queue, or *NotFoundError. The capacity
// comes from the monitor's view, which knows every queue.
func (s *Store) QueueStateOf(ctx context.Context, queueID string) (QueueStateView, error) {
	queue, err := s.QueueMonitor(ctx, queueID)
	if err != nil {
		return QueueStateView{}, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT patient_id, patient_name, priority, consultation_type, status, check_in_time
		FROM waiting_patients_view WHERE queue_id = $1
		ORDER BY array_position(ARRAY['Urgent', 'High', 'Medium', 'Low'], priority), check_in_time, queue_position`, queueID)
	if err != nil {
		return QueueStateView{}, fmt.Errorf("read the state of queue %q: %w", queueID, err)
	}
	patients, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PresentPatient])
	if err != nil {
		return QueueStateView{}, fmt.Errorf("read the state of queue %q: %w", queueID, err)
	}
	return QueueStateView{QueueID: queueID, MaxCapacity: queue.MaxCapacity, Patients: patients, ProjectedAt: queue.ProjectedAt}, nil
}
