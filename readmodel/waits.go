package readmodel

import (
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// Pace is how the last hour's consultations of a queue went.
type Pace struct {
	// Begun is the number of consultations that began.
	Begun int
	// Waited is the mean time from check-in until then; 0 where none began.
	Waited time.Duration
	// Every is the mean time from the begin of one to that of the next; 0 where fewer
	// than two began.
	Every time.Duration
}

// selectPace is the pace of the queue q.
const selectPace = `
	SELECT count(*)::int AS begun, coalesce(avg(extract(epoch FROM started_at - check_in_time)), 0)::float8 AS waited,
	       coalesce(extract(epoch FROM max(started_at) - min(started_at)) / nullif(count(*) - 1, 0), 0)::float8 AS every
	FROM waiting_queue_waits w WHERE w.queue_id = q.queue_id AND started_at > now() - interval '1 hour'`

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// waits are the columns of the waits that a batch ends.
type waits struct {
	keys
	versions []int64
	started  []time.Time
	// checkedIn is nil for who checked in before the batch.
	checkedIn []*time.Time
}

// queueWaits notes the waits that end, while the members' rows are there, and forgets
// those of more than an hour before a queue's last one. What is kept depends on the
// events alone, so that a rebuild keeps the same.
func queueWaits(b *pgx.Batch, events []schema.Recorded) {
	ended := endedWaits(events)
	if len(ended.versions) == 0 {
		return
	}
	b.Queue(`
		INSERT INTO waiting_queue_waits (queue_id, version, check_in_time, started_at)
		SELECT w.queue_id, w.version, coalesce(w.checked_in, m.check_in_time), w.started_at
		FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[])
			AS w (queue_id, patient_id, version, started_at, checked_in)
		LEFT JOIN waiting_queue_members m ON m.queue_id = w.queue_id AND m.patient_id = w.patient_id
		WHERE coalesce(w.checked_in, m.check_in_time) IS NOT NULL`,
		ended.queueIDs, ended.patientIDs, ended.versions, ended.started, ended.checkedIn)
	queues := map[string]bool{}
	for _, id := range ended.queueIDs {
		queues[id] = true
	}
	b.Queue(`
		DELETE FROM waiting_queue_waits w
		USING (SELECT queue_id, max(started_at) AS last FROM waiting_queue_waits WHERE queue_id = ANY($1) GROUP BY queue_id) AS newest
		WHERE w.queue_id = newest.queue_id AND w.started_at <= newest.last - interval '1 hour'`, slices.Sorted(maps.Keys(queues)))
}

// endedWaits are the consultations that begin, each once a visit.
func endedWaits(events []schema.Recorded) (ended waits) {
	inLine := map[patient]*time.Time{} // nil once the wait is over
	for _, r := range events {
		switch e := r.Event.(type) {
		case schema.PatientCheckedIn:
			inLine[patient{e.QueueID, e.PatientID}] = &e.CheckInTime
		case schema.PatientCalled:
			key := patient{e.QueueID, e.PatientID}
			checkedIn, here := inLine[key]
			if here && checkedIn == nil {
				continue // called twice
			}
			ended.add(key)
			ended.versions, ended.started = append(ended.versions, r.Metadata.Version), append(ended.started, r.Metadata.OccurredAt)
			ended.checkedIn = append(ended.checkedIn, checkedIn)
			inLine[key] = nil
		default:
			if s, ok := stepOf(e); ok && s.over() {
				inLine[s.patient] = nil
			}
		}
	}
	return ended
}
