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
	FROM waiting_room_events WHERE position > $1 ORDER BY position`

// storedRow is an event as selectStored returns it.
type storedRow struct {
	position, version         int64
	queueID, name             string
	payload                   []byte
	schemaVersion, occurredAt string
	createdAt                 time.Time
}

// place is how far a replay has come: through which row of the archive, which comes
// first, and through which position.
type place struct{ archive, position int64 }

// chunk is a part of the store on its way: read, then decoded, then applied.
type chunk struct {
	queueID string // of archived events,
	content []byte // compressed; else
	rows    []storedRow
	through place
	events  []schema.Recorded
	err     error
	decoded chan struct{} // closed when events, or err, are there
}

// replayAll gives all archived and stored events behind a place to apply, in batches. They
// are read on a connection of its own and decoded beside that, ahead of apply by a few batches.
func (s *Store) replayAll(ctx context.Context, after place, apply func(context.Context, []schema.Recorded, place) error) error {
	reading, stop := context.WithCancel(ctx)
	chunks := make(chan *chunk, runtime.GOMAXPROCS(0))
	var (
		group   sync.WaitGroup
		readErr error
	)
	group.Go(func() {
		defer close(chunks)
		handOut := func(c *chunk) error {
			group.Go(c.decode)
			select {
			case chunks <- c:
				return nil
			case <-reading.Done():
				return context.Cause(reading)
			}
		}
		if readErr = s.readArchive(reading, after, handOut); readErr == nil {
			readErr = s.readAll(reading, after.position, handOut)
		}
	})
	err := applyChunks(chunks, func(c *chunk) error { return apply(ctx, c.events, c.through) })
	stop()
	group.Wait()
	if err != nil {
		return err
	}
	return readErr
}

func applyChunks(chunks <-chan *chunk, apply func(*chunk) error) error {
	for c := range chunks {
		<-c.decoded
		if c.err != nil {
			return c.err
		}
		if err := apply(c); err != nil {
			return err
		}
	}
	return nil
}

// readArchive reads the archive behind a place and hands it out row by row.
func (s *Store) readArchive(ctx context.Context, after place, handOut func(*chunk) error) error {
	rows, err := s.pool.Query(ctx, "SELECT id, aggregate_id, content FROM archived_events WHERE id > $1 ORDER BY id", after.archive)
	if err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		c := &chunk{through: after, decoded: make(chan struct{})}
		if err := rows.Scan(&c.through.archive, &c.queueID, &c.content); err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if err := handOut(c); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	return nil
}

// readAll reads all stored events behind a position and hands them out in chunks.
func (s *Store) readAll(ctx context.Context, after int64, handOut func(*chunk) error) error {
	rows, err := s.pool.Query(ctx, selectStored, after)
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
		next.rows, next.through.position = append(next.rows, r), r.position
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

// decode turns what was read into events.
func (c *chunk) decode() {
	defer close(c.decoded)
	if c.content != nil {
		c.events, c.err = recordedIn(c.queueID, c.content)
		return
	}
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
