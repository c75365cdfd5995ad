package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/schema"
)

// bad are what somebody else publishes to a queue by mistake.
type bad map[string]struct {
	headers amqp.Table
	body    []byte
}

func badMessages() bad {
	checkedIn := schema.PatientCheckedIn{}.EventName()
	return bad{
		"broken JSON":     {headers(checkedIn, "1"), []byte(`{"queueId":`)},
		"unknown type":    {headers("PatientTeleported", "1"), []byte(`{}`)},
		"unknown version": {headers(checkedIn, "99"), []byte(`{}`)},
		"1 MB":            {headers(checkedIn, "1"), bytes.Repeat([]byte("x"), 1<<20)},
		"bad envelope":    {amqp.Table{schema.HeaderEventName: int32(7)}, []byte(`{}`)},
		"empty":           {amqp.Table{}, nil},
	}
}

func headers(event, version string) amqp.Table {
	return amqp.Table{
		wamqp.DefaultMessageUUIDHeaderKey: uuid.NewString(),
		schema.HeaderEventName:            event, schema.HeaderSchemaVersion: version, schema.HeaderAggregateID: "bad", schema.HeaderVersion: "1",
		schema.HeaderOccurredAt: "2026-02-19T10:00:00Z", schema.HeaderCorrelationID: "bad",
	}
}

func wireFaults() []fault {
	return []fault{{
		name: "bad-messages", what: "six bad messages in each queue: broken JSON, unknown type, unknown version, 1 MB, bad envelope, empty",
		strike: publishBad,
	}}
}

// publishBad publishes each and waits until all have been put away.
func publishBad(ctx context.Context, s *system, _ time.Duration) error {
	messages := badMessages()
	err := s.onBroker(func(channel *amqp.Channel) error {
		for name, m := range messages {
			err := channel.PublishWithContext(ctx, "", projectionQueue, false, false, amqp.Publishing{Headers: m.headers, Body: m.body, DeliveryMode: amqp.Persistent})
			if err != nil {
				return fmt.Errorf("publish %s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := until(ctx, 20*time.Second, func() (bool, error) { return s.putAway(ctx) }); err != nil {
		return fmt.Errorf("wait until they are put away: %w", err)
	}
	return s.exec(ctx, "DELETE FROM poison_messages WHERE status = 'WAITING'")
}

// deadQueue takes what cannot be told from its duplicates, for it has no id.
const deadQueue = schema.Topic + ".dead.projections"

// putAway reports whether all bad messages are in the poison store, or without an id
// among the dead letters, which it empties.
func (s *system) putAway(ctx context.Context) (is bool, err error) {
	var poisoned int
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM poison_messages WHERE status = 'WAITING' AND handler = 'projection.monitor'`).Scan(&poisoned)
	if err != nil {
		return false, err
	}
	err = s.onBroker(func(channel *amqp.Channel) error {
		dead, err := channel.QueueDeclarePassive(deadQueue, true, false, false, false, nil)
		if is = poisoned+dead.Messages == len(badMessages()); !is || err != nil {
			return err
		}
		_, err = channel.QueuePurge(deadQueue, false)
		return err
	})
	return is, err
}
