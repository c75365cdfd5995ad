package readmodel

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// settledAfter is the age of an event from which all events with lower positions are
// visible: positions are given before a commit, and a transaction of ours may take
// ten seconds (command.Config.CommitTimeout). One that began later than another may
// have the lower position, so it is twice that time, and some.
const settledAfter = 25 * time.Second

// Check is what a look at the event store has found.
type Check struct {
	// Missing are the last events of queues of which projections lack some. Applying
	// them applies those before.
	Missing []schema.Recorded
	// More says that not all settled events were looked at.
	More bool
	// Settles is how long it takes until the next event has settled; 0 where all have.
	Settles time.Duration

	through int64
}

// Check looks at stored events, at most limit, behind those for which Checked was
// called, and finds what projections lack of them, be it that the broker lost it or
// that they were never told. Events younger than 25 s are left to the broker.
func (s *Store) Check(ctx context.Context, limit int) (c Check, err error) {
	latest, err := s.settled(ctx, limit, &c)
	if err != nil || len(latest) == 0 {
		return c, err
	}
	behind, err := s.behind(ctx, latest)
	if err != nil || len(behind) == 0 {
		return c, err
	}
	versions := make([]int64, len(behind))
	for i, id := range behind {
		versions[i] = latest[id]
	}
	rows, err := s.pool.Query(ctx, selectRecorded+`
		JOIN unnest($1::text[], $2::bigint[]) AS k (queue_id, last) ON aggregate_id = k.queue_id AND version = k.last`, behind, versions)
	if err != nil {
		return c, fmt.Errorf("read what projections lack: %w", err)
	}
	if c.Missing, err = pgx.CollectRows(rows, scanRecorded); err != nil {
		return c, fmt.Errorf("read what projections lack: %w", err)
	}
	return c, nil
}

// settled returns the last settled version of each queue among the next events.
func (s *Store) settled(ctx context.Context, limit int, c *Check) (latest map[string]int64, err error) {
	rows, err := s.pool.Query(ctx, `
		WITH checked AS MATERIALIZED (
			SELECT min(coalesce(c.checked_position, 0)) AS position
			FROM unnest($1::text[]) AS p (id) LEFT JOIN projection_checkpoints c ON c.projection_id = p.id
		)
		SELECT position, aggregate_id, version, extract(epoch FROM created_at + $2::interval - now())::float8
		FROM waiting_room_events WHERE position > (SELECT position FROM checked) ORDER BY position LIMIT $3`,
		projectionIDs(), settledAfter, limit)
	if err != nil {
		return nil, fmt.Errorf("look at the event store: %w", err)
	}
	var (
		position, version int64
		queueID           string
		settles           float64 // seconds
		seen              int
	)
	latest = map[string]int64{}
	_, err = pgx.ForEachRow(rows, []any{&position, &queueID, &version, &settles}, func() error {
		seen++
		switch {
		case c.Settles > 0: // behind a young one
		case settles > 0:
			c.Settles = time.Duration(settles * float64(time.Second))
		default:
			c.through, latest[queueID] = position, max(latest[queueID], version)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the event store: %w", err)
	}
	c.More = seen == limit && c.Settles == 0
	return latest, nil
}

// behind returns the queues that some projection has not brought to a version.
func (s *Store) behind(ctx context.Context, latest map[string]int64) (queueIDs []string, err error) {
	for id := range latest {
		queueIDs = append(queueIDs, id)
	}
	rows, err := s.pool.Query(ctx, "SELECT aggregate_id, versions FROM projection_queue_versions WHERE aggregate_id = ANY($1)", queueIDs)
	if err != nil {
		return nil, fmt.Errorf("read how far the projections are: %w", err)
	}
	defer rows.Close()
	applied := versions{}
	if err := applied.scan(rows); err != nil {
		return nil, fmt.Errorf("read how far the projections are: %w", err)
	}
	all := Projections()
	return slices.DeleteFunc(queueIDs, func(id string) bool { return applied.lowest(id, all) >= latest[id] }), nil
}

// Checked notes that nothing is missing any more of what a Check looked at.
func (s *Store) Checked(ctx context.Context, c Check) error {
	if c.through == 0 {
		return nil
	}
	_, err := s.pool.Exec(ctx, `
		INSERT INTO projection_checkpoints AS c (projection_id, checked_position) SELECT id, $2 FROM unnest($1::text[]) AS p (id)
		ON CONFLICT (projection_id) DO UPDATE SET checked_position = greatest(c.checked_position, EXCLUDED.checked_position)`,
		projectionIDs(), c.through)
	if err != nil {
		return fmt.Errorf("note what was checked: %w", err)
	}
	return nil
}

func projectionIDs() []string {
	var ids []string
	for _, p := range Projections() {
		ids = append(ids, p.ID)
	}
	return ids
}
