package readmodel

import (
	"context"
	"fmt"

	"github.com/rlapp/rlapp/schema"
)

// Check is what a look at the event store has found.
type Check struct {
	// Missing are the last events of queues of which projections lack some. Applying
	// them applies those before.
	Missing []schema.Recorded
	// Unreadable are those of the last events that this build cannot read; the last ones
	// before them that it can are among Missing.
	Unreadable []Unreadable
	// More says that not all events up to the given position were looked at.
	More bool
	// Newest is the position of the store's last event, 0 where there is none.
	Newest int64

	through int64
}

// Unreadable is a stored event that this build cannot read.
type Unreadable struct {
	EventName string
	Payload   []byte
	Metadata  schema.Metadata // as far as they are known
	Err       error
}

// Check looks at stored events up to a position, at most limit, behind those for which
// it found nothing missing or Checked was called, and finds what projections lack of
// them, be it that the broker lost it or that they were never told. While nothing is
// missing it is one statement.
func (s *Store) Check(ctx context.Context, upTo int64, limit int) (c Check, err error) {
	var (
		seen     int
		queueIDs []string
		versions []int64
	)
	err = s.pool.QueryRow(ctx, lookAtEvents, projectionIDs(), upTo, limit).Scan(&seen, &c.through, &c.Newest, &queueIDs, &versions)
	if err != nil {
		return c, fmt.Errorf("look at the event store: %w", err)
	}
	c.More = seen == limit
	if len(queueIDs) == 0 {
		return c, nil
	}
	if err := s.readMissing(ctx, &c, queueIDs, versions); err != nil {
		return c, fmt.Errorf("read what projections lack: %w", err)
	}
	return c, nil
}

// readMissing reads the last events of queues, and for each one that cannot be read the
// last before it that can.
func (s *Store) readMissing(ctx context.Context, c *Check, queueIDs []string, versions []int64) error {
	err := s.eachStored(ctx, func(name string, payload []byte, event schema.Recorded, unreadable error) (more bool) {
		if unreadable != nil {
			c.Unreadable = append(c.Unreadable, Unreadable{name, payload, event.Metadata, unreadable})
		} else {
			c.Missing = append(c.Missing, event)
		}
		return true
	}, "JOIN unnest($1::text[], $2::bigint[]) AS k (queue_id, last) ON aggregate_id = k.queue_id AND version = k.last", queueIDs, versions)
	for i := 0; i < len(c.Unreadable) && err == nil; i++ {
		m := c.Unreadable[i].Metadata
		err = s.eachStored(ctx, func(_ string, _ []byte, event schema.Recorded, unreadable error) (more bool) {
			if unreadable == nil {
				c.Missing = append(c.Missing, event)
			}
			return unreadable != nil
		}, "WHERE aggregate_id = $1 AND version < $2 ORDER BY version DESC", m.AggregateID, m.Version)
	}
	return err
}

// eachStored reads stored events for as long as more are wanted.
func (s *Store) eachStored(
	ctx context.Context, take func(name string, payload []byte, event schema.Recorded, unreadable error) (more bool), which string, args ...any,
) error {
	rows, err := s.pool.Query(ctx, selectRecorded+which, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for more := true; more && rows.Next(); {
		stored, queueID, err := scanStored(rows)
		if err != nil {
			return err
		}
		event, unreadable := recorded(stored, queueID)
		more = take(stored.EventName, stored.Payload, event, unreadable)
	}
	rows.Close()
	return rows.Err()
}

// lookAtEvents looks at the next events, and finds the queues that some projection has
// not brought to their last one of them. Where there are none, it notes that.
const lookAtEvents = `
	WITH projections AS (
		SELECT id FROM unnest($1::text[]) AS p (id)
	), checked AS MATERIALIZED (
		SELECT min(coalesce(c.checked_position, 0)) AS position
		FROM projections p LEFT JOIN projection_checkpoints c ON c.projection_id = p.id
	), next AS MATERIALIZED (
		SELECT position, aggregate_id, version FROM waiting_room_events
		WHERE position > (SELECT position FROM checked) AND position <= $2 ORDER BY position LIMIT $3
	), behind AS MATERIALIZED (
		SELECT l.aggregate_id, l.version
		FROM (SELECT aggregate_id, max(version) AS version FROM next GROUP BY aggregate_id) AS l
		LEFT JOIN projection_queue_versions v USING (aggregate_id)
		WHERE l.version > (SELECT min(coalesce((v.versions ->> p.id)::bigint, 0)) FROM projections p)
	), noted AS (
		INSERT INTO projection_checkpoints AS c (projection_id, checked_position)
		SELECT p.id, (SELECT max(position) FROM next) FROM projections p
		WHERE EXISTS (SELECT FROM next) AND NOT EXISTS (SELECT FROM behind)
		ON CONFLICT (projection_id) DO UPDATE SET checked_position = greatest(c.checked_position, EXCLUDED.checked_position)
	)
	SELECT (SELECT count(*) FROM next), coalesce((SELECT max(position) FROM next), 0),
	       coalesce((SELECT max(position) FROM waiting_room_events), 0),
	       ARRAY(SELECT aggregate_id FROM behind ORDER BY 1), ARRAY(SELECT version FROM behind ORDER BY aggregate_id)`

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
