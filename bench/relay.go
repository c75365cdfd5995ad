package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	rawExchange = "bench_raw"
	rawQueue    = "bench_raw.queue"
	rawWindow   = 1000
)

// relay measures the relay alone, from the outbox to confirmed on a quorum queue
// that nobody consumes, and in the same round what the client library does with the
// same messages: published one after another, at most a window of them unconfirmed.
func (s *suite) relay(ctx context.Context) error {
	return s.with(ctx, ours, func(b *bench, p pipeline) error {
		do, end, err := p.writer(ctx, 64, 1000)
		if err != nil {
			return err
		}
		_, _, _, err = closed(ctx, 64, s.size.relay, 0, do)
		if err = errors.Join(err, end()); err != nil {
			return err
		}
		messages, err := b.messages(ctx)
		if err != nil {
			return err
		}
		raw, err := b.raw(messages)
		if err != nil {
			return fmt.Errorf("raw: %w", err)
		}
		if err := b.emptyBroker(); err != nil {
			return err
		}
		rate, err := b.relayed(ctx, len(messages))
		if err != nil {
			return err
		}
		s.add("relay", "raw", raw)
		s.add("relay", ours, rate)
		return b.verifyStored(ctx, acknowledged{s.size.relay, 1000})
	})
}

// relayed is the relay's rate: from the first row that was published, or from ready
// where that is earlier, until the last row is marked.
func (b *bench) relayed(ctx context.Context, events int) (float64, error) {
	worker, err := b.start(ctx, "worker")
	if err != nil {
		return 0, err
	}
	err = until(ctx, settleLimit, func() (done bool, err error) {
		pause(ctx, 30*time.Millisecond)
		err = b.pool.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM waiting_room_outbox WHERE NOT published)").Scan(&done)
		return done, err
	})
	if err = errors.Join(err, worker.Stop()); err != nil {
		return 0, err
	}
	var first, last time.Time
	if err := b.pool.QueryRow(ctx, `
		SELECT min(published_at), max(pg_xact_commit_timestamp(xmin)) FROM waiting_room_outbox`).Scan(&first, &last); err != nil {
		return 0, err
	}
	if worker.Ready.Before(first) {
		first = worker.Ready
	}
	return float64(events) / last.Sub(first).Seconds(), b.inQueue(projections, events)
}

// inQueue fails unless the queue has as many messages.
func (b *bench) inQueue(queue string, events int) error {
	return b.onBroker(func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err == nil && q.Messages != events {
			err = fmt.Errorf("the queue has %d messages of %d", q.Messages, events)
		}
		return err
	})
}

// messages are the outbox's events as the relay publishes them.
func (b *bench) messages(ctx context.Context) ([]amqp.Publishing, error) {
	rows, err := b.pool.Query(ctx, "SELECT event_id::text, payload::text, metadata::text FROM waiting_room_outbox ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []amqp.Publishing
	for rows.Next() {
		var id string
		var body, metadata []byte
		if err := rows.Scan(&id, &body, &metadata); err != nil {
			return nil, err
		}
		headers := map[string]string{}
		if err := json.Unmarshal(metadata, &headers); err != nil {
			return nil, err
		}
		table := amqp.Table{wamqp.DefaultMessageUUIDHeaderKey: id, "published_at": time.Now().UTC().Format(time.RFC3339Nano)}
		for name, value := range headers {
			table[name] = value
		}
		all = append(all, amqp.Publishing{
			Headers: table, Body: body, DeliveryMode: amqp.Persistent, MessageId: id, CorrelationId: headers["correlation_id"],
			ContentType: "application/json", Timestamp: time.Now(),
		})
	}
	return all, rows.Err()
}

// raw publishes messages with the client library alone.
func (b *bench) raw(messages []amqp.Publishing) (rate float64, err error) {
	err = b.onBroker(func(ch *amqp.Channel) error {
		quorum := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum, amqp.SingleActiveConsumerArg: true}
		if err := errors.Join(
			ch.ExchangeDeclare(rawExchange, amqp.ExchangeTopic, true, false, false, false, nil),
			second(ch.QueueDeclare(rawQueue, true, false, false, false, quorum)),
			ch.QueueBind(rawQueue, "#", rawExchange, false, nil), ch.Confirm(false),
		); err != nil {
			return err
		}
		begin := time.Now()
		var confirms []*amqp.DeferredConfirmation
		for _, m := range messages {
			if len(confirms) == rawWindow {
				if !confirms[0].Wait() {
					return errRefused
				}
				confirms = confirms[1:]
			}
			confirm, err := ch.PublishWithDeferredConfirm(rawExchange, "PatientCheckedIn.3", true, false, m)
			if err != nil {
				return err
			}
			confirms = append(confirms, confirm)
		}
		for _, confirm := range confirms {
			if !confirm.Wait() {
				return errRefused
			}
		}
		rate = float64(len(messages)) / time.Since(begin).Seconds()
		return nil
	})
	return rate, errors.Join(err, b.inQueue(rawQueue, len(messages)))
}

var errRefused = errors.New("the broker refused a message")

func second[T any](_ T, err error) error { return err }
