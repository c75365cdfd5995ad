package readmodel

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/rlapp/rlapp/schema"
)

// selectStored reads of all stored events what projections need, in their order,
// and less of the metadata than selectRecorded: taking JSON apart is what a replay
// spends its time on. One statement sees one moment.
const selectStored = `
	SELECT position, aggregate_id, version, event_name, payload::text,
	       coalesce(metadata ->> 'schemaVersion', ''), coalesce(metadata ->> 'occurredAt', ''), created_at
	FROM waiting_room_events ORDER BY position`

// storedRow is an event as selectStored returns it.
type storedRow struct {
	position, version         int64
	queueID, name             string
	payload                   []byte
	schemaVersion, occurredAt string
	createdAt                 time.Time
}

// chunk is a part of the store on its way: read, then decoded, then applied.
type chunk struct {
	rows    []storedRow
	events  []schema.Recorded
	err     error
	decoded chan struct{} // closed when events, or err, are there
}

// replayAll gives all stored events to apply, in batches. They are read on a
// connection of its own and decoded beside that, ahead of apply by a few batches.
func (s *Store) replayAll(ctx context.Context, apply func(context.Context, []schema.Recorded) error) error {
	reading, stop := context.WithCancel(ctx)
	chunks := make(chan *chunk, runtime.GOMAXPROCS(0))
	var (
		group   sync.WaitGroup
		readErr error
	)
	group.Go(func() {
		defer close(chunks)
		readErr = s.readAll(reading, func(c *chunk) error {
			group.Go(c.decode)
			select {
			case chunks <- c:
				return nil
			case <-reading.Done():
				return context.Cause(reading)
			}
		})
	})
	err := applyChunks(chunks, func(events []schema.Recorded) error { return apply(ctx, events) })
	stop()
	group.Wait()
	if err != nil {
		return err
	}
	return readErr
}

func applyChunks(chunks <-chan *chunk, apply func([]schema.Recorded) error) error {
	for c := range chunks {
		<-c.decoded
		if c.err != nil {
			return c.err
		}
		if err := apply(c.events); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads all stored events and hands them out in chunks.
func (s *Store) readAll(ctx context.Context, handOut func(*chunk) error) error {
	rows, err := s.pool.Query(ctx, selectStored)
	if err != nil {
		return fmt.Errorf("read the events: %w", err)
	}
	defer rows.Close()
	next := newChunk()
	for rows.Next() {
		var r storedRow
		err := rows.Scan(&r.position, &r.queueID, &r.version, &r.name, &r.payload, &r.schemaVersion, &r.occurredAt, &r.createdAt)
		if err != nil {
			return fmt.Errorf("read the events: %w", err)
		}
		next.rows = append(next.rows, r)
		if len(next.rows) == rebuildBatch {
			if err := handOut(next); err != nil {
				return err
			}
			next = newChunk()
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the events: %w", err)
	}
	if len(next.rows) == 0 {
		return nil
	}
	return handOut(next)
}

func newChunk() *chunk {
	return &chunk{rows: make([]storedRow, 0, rebuildBatch), decoded: make(chan struct{})}
}

// decode turns the rows into events.
func (c *chunk) decode() {
	defer close(c.decoded)
	c.events = make([]schema.Recorded, len(c.rows))
	for i, row := range c.rows {
		if c.events[i], c.err = row.decode(); c.err != nil {
			return
		}
	}
	c.rows = nil
}

func (r storedRow) decode() (schema.Recorded, error) {
	recorded := schema.Recorded{
		Position: r.position,
		Metadata: schema.Metadata{AggregateID: r.queueID, Version: r.version, OccurredAt: r.createdAt},
	}
	var err error
	if r.schemaVersion != "" {
		if recorded.Metadata.SchemaVersion, err = strconv.Atoi(r.schemaVersion); err != nil {
			return recorded, fmt.Errorf("metadata of the event at position %d: %w", r.position, err)
		}
	}
	if r.occurredAt != "" {
		at, err := time.Parse(time.RFC3339Nano, r.occurredAt)
		if err != nil {
			return recorded, fmt.Errorf("metadata of the event at position %d: %w", r.position, err)
		}
		if !at.IsZero() {
			recorded.Metadata.OccurredAt = at
		}
	}
	if recorded.Event, err = schema.Decode(r.name, recorded.Metadata.SchemaVersion, r.payload); err != nil {
		return recorded, fmt.Errorf("event at position %d: %w", r.position, err)
	}
	return recorded, nil
}
