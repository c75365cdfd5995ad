package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/adapters/rabbitmq"
	"github.com/rlapp/rlapp/handlers/projection"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// badMessage is what somebody else publishes to a queue by mistake.
type badMessage struct {
	name    string
	headers amqp.Table
	body    []byte
}

func (m badMessage) id() string {
	id, _ := m.headers[wamqp.DefaultMessageUUIDHeaderKey].(string)
	return id
}

func badMessages() []badMessage {
	checkedIn := schema.PatientCheckedIn{}.EventName()
	return []badMessage{
		{"broken JSON", headers(checkedIn, "1"), []byte(`{"queueId":`)},
		{"unknown type", headers("PatientTeleported", "1"), []byte(`{}`)},
		{"unknown version", headers(checkedIn, "99"), []byte(`{}`)},
		{"1 MB", headers(checkedIn, "1"), bytes.Repeat([]byte("x"), 1<<20)},
		{"bad envelope", amqp.Table{schema.HeaderEventName: int32(7)}, []byte(`{}`)},
		{"empty", amqp.Table{}, nil},
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
		strike: publishBad, evidence: hits("message that was put away"), unnoticed: true,
	}}
}

// fedQueue is a queue with one of the handlers that it feeds, and how many of the bad
// messages that one puts away.
type fedQueue struct {
	group, handler string
	putAway        int
}

// A plugin's handler leaves events of another kind alone.
var fedQueues = []fedQueue{
	{projection.HandlerName, readmodel.Monitor.HandlerName(), 6},
	{recorderHandler, recorderHandler, 5},
}

// publishBad publishes each to every queue, and waits until all have been put away.
func publishBad(ctx context.Context, s *strike) error {
	for _, q := range fedQueues {
		ids, err := s.publishTo(ctx, rabbitmq.QueueName(schema.Topic, q.group))
		if err != nil {
			return err
		}
		err = until(ctx, 20*time.Second, func() (bool, error) { return s.putAway(ctx, q, ids) })
		if err != nil {
			return fmt.Errorf("wait until those of %s are put away: %w", q.group, err)
		}
		s.hit(int64(q.putAway))
		if err := s.exec(ctx, "DELETE FROM poison_messages WHERE message_id = ANY($1)", ids); err != nil {
			return err
		}
	}
	return nil
}

// publishTo publishes the bad messages to a queue, and returns the ids of those that
// have one.
func (s *system) publishTo(ctx context.Context, queue string) (ids []string, err error) {
	err = s.onBroker(func(channel *amqp.Channel) error {
		if err := channel.Confirm(false); err != nil { // else the channel's end may lose the last
			return err
		}
		for _, m := range badMessages() {
			confirm, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false,
				amqp.Publishing{Headers: m.headers, Body: m.body, DeliveryMode: amqp.Persistent})
			if err == nil {
				err = confirmed(ctx, confirm)
			}
			if err != nil {
				return fmt.Errorf("publish %s: %w", m.name, err)
			}
			if id := m.id(); id != "" {
				ids = append(ids, id)
			}
		}
		return nil
	})
	return ids, err
}

// confirmed waits until the broker has a message.
func confirmed(ctx context.Context, confirm *amqp.DeferredConfirmation) error {
	acknowledged, err := confirm.WaitContext(ctx)
	if err == nil && !acknowledged {
		err = errors.New("the broker refused it")
	}
	return err
}

// putAway reports whether the bad messages of a queue are in the poison store, or
// without an id, by which duplicates are told, among the dead letters, which it empties.
func (s *system) putAway(ctx context.Context, q fedQueue, ids []string) (is bool, err error) {
	poisoned, err := s.count(ctx, "SELECT count(*) FROM poison_messages WHERE status = 'WAITING' AND handler = $1 AND message_id = ANY($2)", q.handler, ids)
	if err != nil {
		return false, err
	}
	err = s.onBroker(func(channel *amqp.Channel) error {
		queue := rabbitmq.DeadLetterQueue(schema.Topic, q.group)
		dead, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil)
		if is = int(poisoned)+dead.Messages == q.putAway; !is || err != nil {
			return err
		}
		_, err = channel.QueuePurge(queue, false)
		return err
	})
	return is, err
}
