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
	apply:  applyQueueState,
}

func applyQueueState(b *pgx.Batch, events []schema.Recorded) {
	present := foldVisits(events, foldStatus)
	gone := present.deleted()
	gone.queueDelete(b, "waiting_patients_view")
	queueArrivals(b, present)
	queueStatuses(b, present)
}

// foldStatus follows where a patient stands.
func foldStatus(present *visits[string], r schema.Recorded) {
	switch e := r.Event.(type) {
	case schema.PatientCheckedIn:
		present.begin(e, "waiting-cashier")
	case schema.PatientCalledAtCashier:
		*present.of(e.QueueID, e.PatientID) = "at-cashier"
	case schema.PatientPaymentValidated:
		*present.of(e.QueueID, e.PatientID) = "waiting-consultation"
	case schema.PatientPaymentPending:
		*present.of(e.QueueID, e.PatientID) = "payment-pending"
	case schema.PatientAbsentAtCashier:
		*present.of(e.QueueID, e.PatientID) = "waiting-cashier"
	case schema.PatientClaimedForAttention:
		*present.of(e.QueueID, e.PatientID) = "called"
	case schema.PatientCalled:
		*present.of(e.QueueID, e.PatientID) = "in-consultation"
	case schema.PatientAbsentAtConsultation:
		*present.of(e.QueueID, e.PatientID) = "waiting-consultation"
	case schema.PatientAttentionCompleted:
		present.end(e.QueueID, e.PatientID)
	case schema.PatientCancelledByPayment:
		present.end(e.QueueID, e.PatientID)
	case schema.PatientCancelledByAbsence:
		present.end(e.QueueID, e.PatientID)
	}
}

func queueArrivals(b *pgx.Batch, present *visits[string]) {
	var (
		k                                       keys
		names, priorities, types, notes, status []string
		positions                               []int
		times                                   []time.Time
	)
	for _, v := range present.inOrder {
		if e := v.joined; e != nil {
			k.add(v.patient)
			names, priorities, types = append(names, e.PatientName), append(priorities, e.Priority), append(types, e.ConsultationType)
			notes, status = append(notes, e.Notes), append(status, v.state)
			positions, times = append(positions, e.QueuePosition), append(times, e.CheckInTime)
		}
	}
	if len(names) > 0 {
		b.Queue(`
			INSERT INTO waiting_patients_view (queue_id, patient_id, patient_name, priority, consultation_type, notes,
				status, queue_position, check_in_time, projected_at)
			SELECT *, now() FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
				$8::integer[], $9::timestamptz[])`,
			k.queueIDs, k.patientIDs, names, priorities, types, notes, status, positions, times)
	}
}

func queueStatuses(b *pgx.Batch, present *visits[string]) {
	var (
		k      keys
		status []string
	)
	for _, v := range present.inOrder {
		if v.changed {
			k.add(v.patient)
			status = append(status, v.state)
		}
	}
	if len(status) > 0 {
		b.Queue(`
			UPDATE waiting_patients_view v SET status = k.status, projected_at = now()
			FROM unnest($1::text[], $2::text[], $3::text[]) AS k (queue_id, patient_id, status)
			WHERE v.queue_id = k.queue_id AND v.patient_id = k.patient_id`, k.queueIDs, k.patientIDs, status)
	}
}

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
