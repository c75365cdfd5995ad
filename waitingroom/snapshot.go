package waitingroom

import (
	"maps"
	"slices"
)

// Snapshot is a queue's state at one version, from which it goes on without its
// earlier events.
type Snapshot struct {
	// QueueID is the queue.
	QueueID string
	// Version is that of the last event which the state knows.
	Version int64
	// MaxCapacity is the most patients that may be in the queue at once.
	MaxCapacity int
	// Patients are those whose visit is not over, in the order of their ids.
	Patients []Standing
}

// Standing is where one patient stands.
type Standing struct {
	PatientID string
	Status    Status
}

// Snapshot returns the queue's state, and remembers when it was taken.
func (q *Queue) Snapshot() Snapshot {
	q.snapshotAt = q.version
	s := Snapshot{QueueID: q.id, Version: q.version, MaxCapacity: q.maxCapacity}
	for _, id := range slices.Sorted(maps.Keys(q.patients)) {
		s.Patients = append(s.Patients, Standing{PatientID: id, Status: q.patients[id]})
	}
	return s
}

// Restore puts the queue into the state of a snapshot.
func (q *Queue) Restore(s Snapshot) {
	*q = Queue{id: s.QueueID, version: s.Version, snapshotAt: s.Version, maxCapacity: s.MaxCapacity}
	for _, p := range s.Patients {
		q.move(p.PatientID, p.Status)
	}
}

// SnapshotDue reports whether at least every events were applied since the last
// snapshot, and half as many as there are patients: so the cost of all snapshots
// grows with the number of events, not with its square.
func (q *Queue) SnapshotDue(every int) bool {
	return q.version-q.snapshotAt >= int64(max(every, len(q.patients)/2, 1))
}
