package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/waitingroom"
)

// AnswersKept is how long the answer to an idempotency key is remembered.
const AnswersKept = 24 * time.Hour

// answer is one row of idempotency_keys to be written.
type answer struct {
	key, correlationID string
	fingerprint        []byte
	events             int32
	version            int64
	lastEvent          *uuid.UUID
	refusal            *string
}

// queueAnswers remembers how requests with a key were answered. They are written in
// the order of their keys, so that two processes never wait for each other in a circle.
func queueAnswers(batch *pgx.Batch, changes []waitingroom.Change, records []record) error {
	var answers []answer
	written := 0
	for _, c := range changes {
		written += len(c.Events)
		if c.Request == nil {
			continue
		}
		a := answer{
			key: c.Request.Key, fingerprint: c.Request.Fingerprint[:], correlationID: c.Cause.CorrelationID,
			events: int32(len(c.Events)), version: c.Expected + int64(len(c.Events)), //nolint:gosec // a decision has few events
		}
		if len(c.Events) > 0 {
			a.lastEvent = &records[written-1].id
		}
		if c.Refusal != nil {
			encoded, err := json.Marshal(c.Refusal)
			if err != nil {
				return fmt.Errorf("encode a refusal: %w", err)
			}
			text := string(encoded)
			a.refusal = &text
		}
		answers = append(answers, a)
	}
	if len(answers) > 0 {
		slices.SortFunc(answers, func(a, b answer) int { return strings.Compare(a.key, b.key) })
		insertAnswers(batch, answers)
	}
	return nil
}

func insertAnswers(batch *pgx.Batch, answers []answer) {
	var (
		keys, correlationIDs []string
		fingerprints         [][]byte
		events               []int32
		versions             []int64
		lastEvents           []*uuid.UUID
		refusals             []*string
	)
	for _, a := range answers {
		keys, correlationIDs, fingerprints = append(keys, a.key), append(correlationIDs, a.correlationID), append(fingerprints, a.fingerprint)
		events, versions = append(events, a.events), append(versions, a.version)
		lastEvents, refusals = append(lastEvents, a.lastEvent), append(refusals, a.refusal)
	}
	batch.Queue(`
		INSERT INTO idempotency_keys (key, fingerprint, correlation_id, event_count, queue_version, last_event_id, refusal)
		SELECT key, fingerprint, correlation_id, event_count, queue_version, last_event_id, refusal::jsonb
		FROM unnest($1::text[], $2::bytea[], $3::text[], $4::integer[], $5::bigint[], $6::uuid[], $7::text[])
		AS n (key, fingerprint, correlation_id, event_count, queue_version, last_event_id, refusal)`,
		keys, fingerprints, correlationIDs, events, versions, lastEvents, refusals)
}

// Answers returns what is remembered for idempotency keys, by key, and forgets those
// of them that are older than AnswersKept.
func (s *EventStore) Answers(ctx context.Context, keys ...string) (map[string]waitingroom.Answer, error) {
	answers := make(map[string]waitingroom.Answer, len(keys))
	batch := &pgx.Batch{}
	batch.Queue(`DELETE FROM idempotency_keys WHERE key = ANY($1) AND created_at < now() - $2::interval`, keys, AnswersKept)
	batch.Queue(`
		SELECT k.key, k.fingerprint, k.correlation_id, k.event_count, k.queue_version, coalesce(e.position, 0), k.refusal::text,
		       e.event_name, coalesce((e.metadata->>'schemaVersion')::int, 0), e.payload::text
		FROM idempotency_keys k LEFT JOIN waiting_room_events e ON e.event_id = k.last_event_id
		WHERE k.key = ANY($1)`, keys).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			a, err := scanAnswer(rows)
			if err != nil {
				return err
			}
			answers[a.Key] = a
		}
		return rows.Err()
	})
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("read the answers to %d idempotency keys: %w", len(keys), err)
	}
	return answers, nil
}

func scanAnswer(row pgx.Rows) (a waitingroom.Answer, err error) {
	var (
		fingerprint []byte
		refusal     *string
		name        *string
		wire        int
		payload     []byte
	)
	err = row.Scan(&a.Key, &fingerprint, &a.CorrelationID, &a.Appended.EventCount, &a.Appended.Version, &a.Appended.Position, &refusal,
		&name, &wire, &payload)
	if err != nil {
		return a, err
	}
	copy(a.Fingerprint[:], fingerprint)
	if name != nil {
		if a.Appended.Last, err = fromStored(*name, wire, payload); err != nil {
			return a, err
		}
	}
	if refusal != nil {
		err = json.Unmarshal([]byte(*refusal), &a.Refusal)
	}
	return a, err
}

// forgetBatch bounds the rows of one transaction, and with it what it locks.
const forgetBatch = 5000

// ForgetAnswers deletes the answers that are older than AnswersKept, in small
// transactions, and returns how many there were.
func (s *EventStore) ForgetAnswers(ctx context.Context) (forgotten int64, err error) {
	for {
		tag, err := s.pool.Exec(ctx, `
			DELETE FROM idempotency_keys WHERE key IN (
				SELECT key FROM idempotency_keys WHERE created_at < now() - $1::interval ORDER BY created_at LIMIT $2)`,
			AnswersKept, forgetBatch)
		if err != nil {
			return forgotten, fmt.Errorf("forget old answers: %w", err)
		}
		forgotten += tag.RowsAffected()
		if tag.RowsAffected() < forgetBatch {
			return forgotten, nil
		}
	}
}
