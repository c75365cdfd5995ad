package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// Monitor counts the patients in each queue's line: those who have not been
// called into a consultation yet.
var Monitor = Projection{
	ID:     "monitor",
	tables: []string{"waiting_queue_view", "waiting_queue_members"},
	apply: func(b *pgx.Batch, r schema.Recorded) {
		switch e := r.Event.(type) {
		case schema.WaitingQueueCreated:
			b.Queue(`
				INSERT INTO waiting_queue_view (queue_id, queue_name, max_capacity, projected_at) VALUES ($1, $2, $3, now())`,
				e.QueueID, e.QueueName, e.MaxCapacity)
		case schema.PatientCheckedIn:
			b.Queue(joinLine, e.QueueID, e.PatientID, e.Priority, e.CheckInTime)
		case schema.PatientCalled:
			b.Queue(leaveLine, e.QueueID, e.PatientID)
		case schema.PatientAttentionCompleted:
			b.Queue(leaveLine, e.QueueID, e.PatientID)
		case schema.PatientCancelledByPayment:
			b.Queue(leaveLine, e.QueueID, e.PatientID)
		case schema.PatientCancelledByAbsence:
			b.Queue(leaveLine, e.QueueID, e.PatientID)
		}
	},
}

const joinLine = `
	WITH joined AS (
		INSERT INTO waiting_queue_members (queue_id, patient_id, priority, check_in_time) VALUES ($1, $2, $3, $4)
	)
	UPDATE waiting_queue_view
	SET total_patients_waiting = total_patients_waiting + 1,
	    urgent_priority_count = urgent_priority_count + ($3 = 'Urgent')::int,
	    high_priority_count = high_priority_count + ($3 = 'High')::int,
	    normal_priority_count = normal_priority_count + ($3 = 'Medium')::int,
	    low_priority_count = low_priority_count + ($3 = 'Low')::int,
	    check_in_epoch_sum = check_in_epoch_sum + extract(epoch FROM $4::timestamptz),
	    last_patient_checked_in_at = greatest(last_patient_checked_in_at, $4),
	    projected_at = now()
	WHERE queue_id = $1`

// leaveLine changes nothing for a patient who has left already.
const leaveLine = `
	WITH gone AS (
		DELETE FROM waiting_queue_members WHERE queue_id = $1 AND patient_id = $2 RETURNING priority, check_in_time
	)
	UPDATE waiting_queue_view v
	SET total_patients_waiting = total_patients_waiting - 1,
	    urgent_priority_count = urgent_priority_count - (gone.priority = 'Urgent')::int,
	    high_priority_count = high_priority_count - (gone.priority = 'High')::int,
	    normal_priority_count = normal_priority_count - (gone.priority = 'Medium')::int,
	    low_priority_count = low_priority_count - (gone.priority = 'Low')::int,
	    check_in_epoch_sum = check_in_epoch_sum - extract(epoch FROM gone.check_in_time),
	    projected_at = now()
	FROM gone WHERE v.queue_id = $1`

// QueueMonitor is one queue's row of waiting_queue_view.
type QueueMonitor struct {
	QueueID                string
	QueueName              string
	MaxCapacity            int
	TotalPatientsWaiting   int
	UrgentPriorityCount    int
	HighPriorityCount      int
	NormalPriorityCount    int
	LowPriorityCount       int
	LastPatientCheckedInAt *time.Time
	// AverageWait is how long the patients in the line have waited so far.
	AverageWait time.Duration
	ProjectedAt time.Time
}

const selectMonitor = `
	SELECT queue_id, queue_name, max_capacity, total_patients_waiting, urgent_priority_count, high_priority_count,
	       normal_priority_count, low_priority_count, last_patient_checked_in_at,
	       coalesce(greatest(0, extract(epoch FROM now()) - check_in_epoch_sum / nullif(total_patients_waiting, 0)), 0)::float8,
	       projected_at
	FROM waiting_queue_view `

// QueueMonitors returns at most limit queues behind the id after, in the order
// of their ids.
func (s *Store) QueueMonitors(ctx context.Context, after string, limit int) ([]QueueMonitor, error) {
	rows, err := s.pool.Query(ctx, selectMonitor+`WHERE queue_id > $1 ORDER BY queue_id LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the monitor: %w", err)
	}
	queues, err := pgx.CollectRows(rows, scanMonitor)
	if err != nil {
		return nil, fmt.Errorf("read the monitor: %w", err)
	}
	return queues, nil
}

// QueueMonitor returns one queue, or *NotFoundError.
func (s *Store) QueueMonitor(ctx context.Context, queueID string) (QueueMonitor, error) {
	rows, err := s.pool.Query(ctx, selectMonitor+`WHERE queue_id = $1`, queueID)
	if err != nil {
		return QueueMonitor{}, fmt.Errorf("read the monitor of queue %q: %w", queueID, err)
	}
	return one(rows, scanMonitor, "queue", queueID)
}

func scanMonitor(row pgx.CollectableRow) (QueueMonitor, error) {
	var (
		m       QueueMonitor
		seconds float64
	)
	err := row.Scan(&m.QueueID, &m.QueueName, &m.MaxCapacity, &m.TotalPatientsWaiting, &m.UrgentPriorityCount,
		&m.HighPriorityCount, &m.NormalPriorityCount, &m.LowPriorityCount, &m.LastPatientCheckedInAt, &seconds, &m.ProjectedAt)
	m.AverageWait = time.Duration(seconds * float64(time.Second))
	return m, err
}
