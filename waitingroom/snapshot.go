package waitingroom

import (
	"maps"
	"slices"
	"strings"
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
	// Visits are those that are not over, in the order of the patients' ids.
	Visits []Visit
	// ActiveRooms are the consulting rooms that are active, sorted.
	ActiveRooms []string
	// TicketDay is the last day on which tickets were given, as 2026-02-19, and
	// TicketsGiven their number.
	TicketDay    string
	TicketsGiven int
}

// Snapshot returns the queue's state, and remembers when it was taken.
func (q *Queue) Snapshot() Snapshot {
	q.snapshotAt = q.version
	return Snapshot{
		QueueID: q.id, Version: q.version, MaxCapacity: q.maxCapacity,
		Visits: slices.SortedFunc(maps.Values(q.visits), func(a, b Visit) int {
			return strings.Compare(a.PatientID, b.PatientID)
		}),
		ActiveRooms: slices.Sorted(maps.Keys(q.rooms)),
		TicketDay:   q.tickets.day, TicketsGiven: q.tickets.given,
	}
}

// Restore puts the queue into the state of a snapshot.
func (q *Queue) Restore(s Snapshot) {
	*q = Queue{
		id: s.QueueID, version: s.Version, snapshotAt: s.Version, maxCapacity: s.MaxCapacity,
		tickets: tickets{day: s.TicketDay, given: s.TicketsGiven},
	}
	for _, v := range s.Visits {
		q.put(v)
	}
	for _, roomID := range s.ActiveRooms {
		q.open(roomID)
	}
}

// SnapshotDue reports whether at least every events were applied since the last
// snapshot, and half as many as there are patients: so the cost of all snapshots
// grows with the number of events, not with its square.
func (q *Queue) SnapshotDue(every int) bool {
	return q.version-q.snapshotAt >= int64(max(every, len(q.visits)/2, 1))
}
