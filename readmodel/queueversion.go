package readmodel

import (
	"context"
	"fmt"
)

// QueueRevision tells the states of a queue's views apart: it is another one after every
// event that any projection applied, and after a rebuild; "" for a queue that the
// projections do not know.
func (s *Store) QueueRevision(ctx context.Context, queueID string) (string, error) {
	var revision string
	// Whatever writes the row of a queue leaves another xmin.
	err := s.pool.QueryRow(ctx, "SELECT coalesce(max(xmin::text), '') FROM projection_queue_versions WHERE aggregate_id = $1", queueID).Scan(&revision)
	if err != nil {
		return "", fmt.Errorf("read the revision of queue %q: %w", queueID, err)
	}
	return revision, nil
}

// QueueVersions are the versions of queues that a projection has applied; queues that it
// does not know are left out.
func (s *Store) QueueVersions(ctx context.Context, p Projection, queueIDs []string) (map[string]int64, error) {
	rows, err := s.pool.Query(ctx, "SELECT aggregate_id, versions FROM projection_queue_versions WHERE aggregate_id = ANY($1)", queueIDs)
	if err != nil {
		return nil, fmt.Errorf("read how far the projections are: %w", err)
	}
	defer rows.Close()
	all := versions{}
	if err := all.scan(rows); err != nil {
		return nil, fmt.Errorf("read how far the projections are: %w", err)
	}
	found := make(map[string]int64, len(all))
	for id, of := range all {
		found[id] = of[p.ID]
	}
	return found, nil
}
