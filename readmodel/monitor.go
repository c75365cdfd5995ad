package readmodel

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// Monitor counts the patients in each queue's line: those whose consultation has not
// begun yet; and keeps how long the last ones waited.
var Monitor = Projection{
	ID:     "monitor",
	tables: []string{"waiting_queue_view", "waiting_queue_members", "waiting_queue_waits"},
	apply:  applyMonitor,
}

func applyMonitor(b *pgx.Batch, events []schema.Recorded) {
	line := foldVisits(events, foldLine)
	queueNewQueues(b, events)
	queueWaits(b, events)
	queueCounts(b, line, latestCheckIns(events))
	queueMembers(b, line)
}

// foldLine follows who joins the line and who leaves it.
func foldLine(line *visits[struct{}], r schema.Recorded) {
	switch e := r.Event.(type) {
	case schema.PatientCheckedIn:
		line.begin(e, r.Metadata.Version, struct{}{})
	case schema.PatientCalled:
		line.end(e.QueueID, e.PatientID)
	case schema.PatientAttentionCompleted:
		line.end(e.QueueID, e.PatientID)
	case schema.PatientCancelledByPayment:
		line.end(e.QueueID, e.PatientID)
	case schema.PatientCancelledByAbsence:
		line.end(e.QueueID, e.PatientID)
	}
}

func queueNewQueues(b *pgx.Batch, events []schema.Recorded) {
	var (
		ids, names []string
		capacities []int
	)
	for _, r := range events {
		if e, ok := r.Event.(schema.WaitingQueueCreated); ok {
			ids, names, capacities = append(ids, e.QueueID), append(names, e.QueueName), append(capacities, e.MaxCapacity)
		}
	}
	if len(ids) > 0 {
		b.Queue(`
			INSERT INTO waiting_queue_view (queue_id, queue_name, max_capacity, projected_at)
			SELECT *, now() FROM unnest($1::text[], $2::text[], $3::integer[])`, ids, names, capacities)
	}
}

// latestCheckIns returns the last check-in of each queue, also of patients who
// have left again.
func latestCheckIns(events []schema.Recorded) map[string]time.Time {
	latest := map[string]time.Time{}
	for _, r := range events {
		if e, ok := r.Event.(schema.PatientCheckedIn); ok && e.CheckInTime.After(latest[e.QueueID]) {
			latest[e.QueueID] = e.CheckInTime
		}
	}
	return latest
}

// queueCounts changes the counts by who joined and by those of before who left:
// how they counted stands in the rows that are deleted. A leaver who has left
// already changes nothing.
func queueCounts(b *pgx.Batch, line *visits[struct{}], latest map[string]time.Time) {
	gone := line.deleted()
	if len(latest) == 0 && len(gone.queueIDs) == 0 {
		return
	}
	var (
		joined, priorities []string
		times              []time.Time
		queueIDs           = slices.Sorted(maps.Keys(latest))
		latestTimes        = make([]time.Time, len(queueIDs))
	)
	for i, id := range queueIDs {
		latestTimes[i] = latest[id]
	}
	for _, v := range line.inOrder {
		if e := v.joined; e != nil {
			joined, priorities, times = append(joined, e.QueueID), append(priorities, e.Priority), append(times, e.CheckInTime)
		}
	}
	b.Queue(`
		WITH gone AS (
			DELETE FROM waiting_queue_members m USING unnest($1::text[], $2::text[]) AS k (queue_id, patient_id)
			WHERE m.queue_id = k.queue_id AND m.patient_id = k.patient_id
			RETURNING m.queue_id, m.priority, m.check_in_time
		), change AS (
			SELECT queue_id, priority, 1 AS n, extract(epoch FROM check_in_time) AS epoch, NULL::timestamptz AS latest
			FROM unnest($3::text[], $4::text[], $5::timestamptz[]) AS joined (queue_id, priority, check_in_time)
			UNION ALL
			SELECT queue_id, priority, -1, -extract(epoch FROM check_in_time), NULL FROM gone
			UNION ALL
			SELECT queue_id, '', 0, 0, latest FROM unnest($6::text[], $7::timestamptz[]) AS latest (queue_id, latest)
		), total AS (
			SELECT queue_id, sum(n) AS waiting, sum(n) FILTER (WHERE priority = 'Urgent') AS urgent,
			       sum(n) FILTER (WHERE priority = 'High') AS high, sum(n) FILTER (WHERE priority = 'Medium') AS medium,
			       sum(n) FILTER (WHERE priority = 'Low') AS low, sum(epoch) AS epoch, max(latest) AS latest
			FROM change GROUP BY queue_id
		)
		UPDATE waiting_queue_view v
		SET total_patients_waiting = total_patients_waiting + waiting,
		    urgent_priority_count = urgent_priority_count + coalesce(urgent, 0),
		    high_priority_count = high_priority_count + coalesce(high, 0),
		    normal_priority_count = normal_priority_count + coalesce(medium, 0),
		    low_priority_count = low_priority_count + coalesce(low, 0),
		    check_in_epoch_sum = check_in_epoch_sum + epoch,
		    last_patient_checked_in_at = greatest(last_patient_checked_in_at, latest),
		    projected_at = now()
		FROM total WHERE v.queue_id = total.queue_id`,
		gone.queueIDs, gone.patientIDs, joined, priorities, times, queueIDs, latestTimes)
}

func queueMembers(b *pgx.Batch, line *visits[struct{}]) {
	var (
		k          keys
		priorities []string
		times      []time.Time
	)
	for _, v := range line.inOrder {
		if e := v.joined; e != nil {
			k.add(v.patient)
			priorities, times = append(priorities, e.Priority), append(times, e.CheckInTime)
		}
	}
	if len(priorities) > 0 {
		b.Queue(`
			INSERT INTO waiting_queue_members (queue_id, patient_id, priority, check_in_time)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])`,
			k.queueIDs, k.patientIDs, priorities, times)
	}
}

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
	// Pace is that of the last hour's consultations.
	Pace        Pace
	ProjectedAt time.Time
}

const selectMonitor = `
	SELECT queue_id, queue_name, max_capacity, total_patients_waiting, urgent_priority_count, high_priority_count,
	       normal_priority_count, low_priority_count, last_patient_checked_in_at,
	       coalesce(greatest(0, extract(epoch FROM now()) - check_in_epoch_sum / nullif(total_patients_waiting, 0)), 0)::float8,
	       begun, waited, every, projected_at
	FROM waiting_queue_view q CROSS JOIN LATERAL (` + selectPace + `) AS pace `

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
	return one(rows, scanMonitor, KindQueue, queueID)
}

func scanMonitor(row pgx.CollectableRow) (QueueMonitor, error) {
	var (
		m                      QueueMonitor
		average, waited, every float64
	)
	err := row.Scan(&m.QueueID, &m.QueueName, &m.MaxCapacity, &m.TotalPatientsWaiting, &m.UrgentPriorityCount,
		&m.HighPriorityCount, &m.NormalPriorityCount, &m.LowPriorityCount, &m.LastPatientCheckedInAt, &average,
		&m.Pace.Begun, &waited, &every, &m.ProjectedAt)
	m.AverageWait, m.Pace.Waited, m.Pace.Every = seconds(average), seconds(waited), seconds(every)
	return m, err
}
