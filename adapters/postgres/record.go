package postgres

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/rlapp/rlapp/schema"
	"github.com/rlapp/rlapp/waitingroom"
)

// record is one event ready to be written.
type record struct {
	id       uuid.UUID
	name     string
	payload  string
	encoded  string // of metadata
	metadata schema.Metadata
}

func encode(changes []waitingroom.Change) ([]record, error) {
	var records []record
	for _, c := range changes {
		for i, event := range c.Events {
			r, err := encodeEvent(c, i, event)
			if err != nil {
				return nil, err
			}
			records = append(records, r)
		}
	}
	return records, nil
}

func encodeEvent(c waitingroom.Change, i int, event waitingroom.Event) (record, error) {
	wire, err := toWire(event)
	if err != nil {
		return record{}, err
	}
	payload, err := schema.Encode(wire)
	if err != nil {
		return record{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return record{}, fmt.Errorf("make an event id: %w", err)
	}
	r := record{id: id, name: event.EventName(), payload: string(payload), metadata: schema.Metadata{
		EventID:        id.String(),
		AggregateID:    c.QueueID,
		Version:        c.Expected + int64(i) + 1,
		OccurredAt:     c.Cause.OccurredAt.UTC(),
		CorrelationID:  c.Cause.CorrelationID,
		CausationID:    c.Cause.CausationID,
		Actor:          c.Cause.Actor,
		IdempotencyKey: c.Cause.IdempotencyKey,
		SchemaVersion:  schema.CurrentVersion(event.EventName()),
	}}
	encoded, err := json.Marshal(r.metadata)
	if err != nil {
		return record{}, fmt.Errorf("encode metadata: %w", err)
	}
	r.encoded = string(encoded)
	return r, nil
}

// columns are the records as arrays, which is how they are written.
type columns struct {
	queues   []string
	versions []int64
	ids      [][16]byte // which pgx writes as they are
	names    []string
	payloads []string
	metadata []string
	occurred []time.Time
}

func columnsOf(records []record) columns {
	var c columns
	for _, r := range records {
		c.queues = append(c.queues, r.metadata.AggregateID)
		c.versions = append(c.versions, r.metadata.Version)
		c.ids = append(c.ids, r.id)
		c.names = append(c.names, r.name)
		c.payloads = append(c.payloads, r.payload)
		c.metadata = append(c.metadata, r.encoded)
		c.occurred = append(c.occurred, r.metadata.OccurredAt)
	}
	return c
}
