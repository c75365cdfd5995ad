package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// generate writes past check-ins into the store as the API writes them, without
// outbox rows: events on queues, each with as many as the others. Those of a queue
// that is to take more check-ins are finished visits, two events each, but for a few
// patients who are still there. Their ids rise with time (UUIDv7), as the API's do.
const generateEvents = `
	INSERT INTO waiting_room_events (event_id, aggregate_id, version, event_name, payload, metadata)
	SELECT encode(overlay(set_byte(random, 6, 112 | get_byte(random, 6) & 15) PLACING substring(int8send(1771495200000 + i) FROM 3) FROM 1), 'hex')::uuid,
	       q, v, name, payload || jsonb_build_object('queueId', q),
	       jsonb_build_object('aggregateId', q, 'version', v, 'occurredAt', '2026-02-19T10:00:00Z', 'correlationId', 'generated',
	           'actor', 'anonymous', 'schemaVersion', 1)
	FROM (
		SELECT i, uuid_send(gen_random_uuid()) AS random, $1 || (i %% $2) AS q, i / $2 + 1 AS v FROM generate_series(0, $2::bigint * $3 - 1) i
	) AS numbers, LATERAL (%s) AS event (name, payload)
	ORDER BY v, q`

// visits alternates check-ins and completions, after the queue's creation.
const visits = `
	SELECT CASE WHEN v = 1 THEN 'WaitingQueueCreated' WHEN v % 2 = 0 THEN 'PatientCheckedIn' ELSE 'PatientAttentionCompleted' END,
	       CASE WHEN v = 1 THEN jsonb_build_object('queueName', q, 'maxCapacity', 100000)
	       ELSE jsonb_build_object('patientId', 'past-' || v / 2, 'patientName', 'Perpetua Testname', 'priority', 'Low',
	           'consultationType', 'X-ray', 'queuePosition', 1, 'checkInTime', '2026-02-19T10:00:00Z') END`

// arrivals are check-ins only, after the queue's creation.
const arrivals = `
	SELECT CASE WHEN v = 1 THEN 'WaitingQueueCreated' ELSE 'PatientCheckedIn' END,
	       CASE WHEN v = 1 THEN jsonb_build_object('queueName', q, 'maxCapacity', 100000)
	       ELSE jsonb_build_object('patientId', 'past-' || v, 'patientName', 'Perpetua Testname', 'priority', 'Low',
	           'consultationType', 'X-ray', 'queuePosition', v - 1, 'checkInTime', '2026-02-19T10:00:00Z') END`

func (b *bench) generate(ctx context.Context, kind, prefix string, queues, perQueue int) error {
	if _, err := b.pool.Exec(ctx, fmt.Sprintf(generateEvents, kind), prefix, queues, perQueue); err != nil {
		return fmt.Errorf("generate events: %w", err)
	}
	return b.admin(ctx, "CHECKPOINT")
}

// pastEvents measures check-ins on queues with a past: eight clients, each on a queue
// of its own.
func (s *suite) pastEvents(ctx context.Context, past int) error {
	const clients = 8
	return s.with(ctx, ours, func(b *bench, p pipeline) error {
		if err := b.generate(ctx, visits, "queue-", clients, past); err != nil {
			return err
		}
		rate, memory, err := s.checkIns(ctx, b, p, clients, clients)
		s.add(fmt.Sprintf("past-%d", past), ours, rate)
		s.add(fmt.Sprintf("past-%d-memory", past), ours, memory)
		return err
	})
}

// storeSize measures check-ins on new queues in a store that has events of others.
func (s *suite) storeSize(ctx context.Context, events int) error {
	return s.with(ctx, ours, func(b *bench, p pipeline) error {
		if err := b.generate(ctx, visits, "other-", 1000, events/1000); err != nil {
			return err
		}
		rate, _, err := s.checkIns(ctx, b, p, httpClients, 1000)
		s.add(fmt.Sprintf("store-%d", events), ours, rate)
		return err
	})
}

// checkIns is the rate of the API alone, after a warm-up.
func (s *suite) checkIns(ctx context.Context, b *bench, p pipeline, clients, queues int) (rate, memory float64, err error) {
	api, err := b.start(ctx, "api")
	if err != nil {
		return 0, 0, err
	}
	defer func() { memory = api.PeakMiB(); err = errors.Join(err, api.Stop()) }()
	p.(*rlapp).all = api
	do, end, err := p.writer(ctx, clients, queues)
	if err != nil {
		return 0, 0, err
	}
	warm, _, _, err := closed(ctx, clients, 2*queues+2000, 0, do)
	if err != nil {
		return 0, 0, errors.Join(err, end())
	}
	events, took, _, err := closed(ctx, clients, 0, s.size.growth, func(ctx context.Context, worker, event int) error {
		return do(ctx, worker, warm+event)
	})
	return float64(events) / took.Seconds(), 0, errors.Join(err, end())
}

// backlog measures how fast a backlog drains: the rate is that of all its events.
func (s *suite) backlog(ctx context.Context, events int) error {
	return s.with(ctx, ours, func(b *bench, p pipeline) error {
		if err := b.generate(ctx, arrivals, "queue-", 1000, events/1000); err != nil {
			return err
		}
		// What the API would have written beside the events.
		if _, err := b.pool.Exec(ctx, `
			INSERT INTO event_processing_lag (event_id, event_name, aggregate_id, event_created_at, status)
			SELECT event_id, event_name, aggregate_id, created_at, 'CREATED' FROM waiting_room_events ORDER BY position`); err != nil {
			return err
		}
		if _, err := b.pool.Exec(ctx, `
			INSERT INTO waiting_room_outbox (event_id, aggregate_id, event_name, payload, metadata)
			SELECT event_id, aggregate_id, event_name, payload, jsonb_build_object('event_name', event_name, 'aggregate_id', aggregate_id,
				'version', version::text, 'occurred_at', '2026-02-19T10:00:00Z', 'correlation_id', 'generated', 'lane', (hashtext(aggregate_id) & 15)::text,
				'schema_version', '1')
			FROM waiting_room_events ORDER BY position`); err != nil {
			return err
		}
		if err := b.admin(ctx, "CHECKPOINT"); err != nil {
			return err
		}
		worker, err := b.start(ctx, "worker")
		if err != nil {
			return err
		}
		begin := time.Now()
		err = until(ctx, 2*settleLimit, func() (done bool, err error) {
			pause(ctx, 80*time.Millisecond)
			err = b.pool.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM waiting_room_outbox WHERE NOT published)").Scan(&done)
			return done, err
		})
		took := time.Since(begin)
		s.add(fmt.Sprintf("backlog-%d-memory", events), ours, worker.PeakMiB())
		if err = errors.Join(err, worker.Stop()); err != nil {
			return err
		}
		s.add(fmt.Sprintf("backlog-%d", events), ours, float64(events)/took.Seconds())
		return b.inQueue(projections, events)
	})
}
