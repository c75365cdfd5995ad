package schema

import (
	"encoding/json"
	"fmt"
)

// SnapshotVersion is the wire version of QueueSnapshot. Snapshots of another
// version are not read: the queue is replayed from its first event.
const SnapshotVersion = 1

// QueueSnapshot is the wire form of a queue's state at one version.
type QueueSnapshot struct {
	MaxCapacity int `json:"maxCapacity"`
	// Patients are the statuses of those whose visit is not over, by their ids.
	Patients map[string]string `json:"patients"`
}

// EncodeSnapshot returns the JSON of a snapshot.
func EncodeSnapshot(s QueueSnapshot) ([]byte, error) {
	state, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode a snapshot: %w", err)
	}
	return state, nil
}

// DecodeSnapshot reads the JSON of a snapshot of SnapshotVersion.
func DecodeSnapshot(state []byte) (QueueSnapshot, error) {
	var s QueueSnapshot
	if err := json.Unmarshal(state, &s); err != nil {
		return s, fmt.Errorf("decode a snapshot: %w", err)
	}
	return s, nil
}
