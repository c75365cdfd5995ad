package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/adapters/rabbitmq"
	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/handlers/projection"
	"github.com/rlapp/rlapp/schema"
)

// projectionQueue feeds the projections, and recorderQueue the recorder's handler.
var (
	projectionQueue = rabbitmq.QueueName(schema.Topic, projection.HandlerName)
	recorderHandler = plugin.Queues([]plugin.Plugin{recordTo("")})[0].Handler
	recorderBinding = plugin.Queues([]plugin.Plugin{recordTo("")})[0].BindingKeys[0]
	recorderQueue   = rabbitmq.QueueName(schema.Topic, recorderHandler)
)

func brokerFaults() []fault {
	return []fault{
		{
			name: "memory-alarm", what: "RabbitMQ's memory alarm blocks publishers, for 60 s; the worker is restarted meanwhile", lasts: time.Minute,
			strike: memoryAlarm, evidence: heldUp, gated: true, unnoticed: true,
		},
		{
			name: "binding-deleted", what: "the binding of the projections' queue is deleted six times in 1.5 s; then the projections are restarted",
			strike: unbind, evidence: heldUp, unnoticed: true,
		},
		{
			name: "queue-deleted", what: "the projections' queue is deleted while they run", lasts: 2 * time.Second,
			strike: deleteQueue(projectionQueue), evidence: hits("consumer that lost its queue"), unnoticed: true,
		},
		{
			name: "plugin-queue-deleted", what: "a plugin's queue is deleted while it runs", lasts: 2 * time.Second,
			strike: deletePluginQueue, evidence: hits("consumer that lost its queue"), unnoticed: true,
		},
		{
			name: "plugin-binding-deleted", what: "the binding of a plugin's queue is deleted; the plugin is restarted 2 s later", lasts: 2 * time.Second,
			strike: unbindPlugin, evidence: heldUp, unnoticed: true,
		},
		{
			name: "exchange-missing", what: "the exchange is missing when the worker and the projections start",
			strike: exchangeMissing, evidence: heldUp, unnoticed: true,
		},
	}
}

func memoryAlarm(ctx context.Context, s *strike) error {
	if _, err := s.broker.Ctl(ctx, "set_vm_memory_high_watermark", "absolute", "1MB"); err != nil {
		return err
	}
	s.struck()
	return s.during(ctx, func() error {
		stopped := errors.Join(s.end("worker"), s.restart(ctx, "worker")) // a stop does not hang on it
		_, err := s.broker.Ctl(context.WithoutCancel(ctx), "set_vm_memory_high_watermark", "0.4")
		return errors.Join(stopped, err)
	})
}

// unbind leaves the events to nobody but the recorder, until the relay makes the binding
// anew for the first event that the recorder does not take. That may be so soon that
// hardly anything was missed, so that it is done some times over. The projections learn
// of what they missed from the store, also without the restart.
func unbind(ctx context.Context, s *strike) error {
	for range 6 {
		err := s.onBroker(func(channel *amqp.Channel) error {
			return channel.QueueUnbind(projectionQueue, "#", schema.Topic, nil)
		})
		if err != nil {
			return err
		}
		last, err := s.committed(ctx)
		if err != nil {
			return err
		}
		pause(ctx, heldAfter)
		if s.held == 0 {
			s.look(ctx, last)
		}
	}
	return errors.Join(s.end("projections"), s.restart(ctx, "projections"))
}

func deleteQueue(queue string) func(context.Context, *strike) error {
	return func(ctx context.Context, s *strike) error {
		err := s.onBroker(func(channel *amqp.Channel) error {
			there, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil)
			if err != nil {
				return err
			}
			s.hit(int64(there.Consumers))
			_, err = channel.QueueDelete(queue, false, false, false)
			return err
		})
		if err != nil {
			return err
		}
		return s.during(ctx, func() error { return nil })
	}
}

// deletePluginQueue takes what the queue held, and what is published until its handler is
// back.
func deletePluginQueue(ctx context.Context, s *strike) error {
	if err := deleteQueue(recorderQueue)(ctx, s); err != nil {
		return err
	}
	err := until(ctx, settleLimit, func() (back bool, err error) {
		err = s.onBroker(func(channel *amqp.Channel) error {
			there, err := channel.QueueDeclarePassive(recorderQueue, true, false, false, false, nil)
			back = there.Consumers > 0
			return err
		})
		return back, err
	})
	if err != nil {
		return fmt.Errorf("wait for the plugin's handler: %w", err)
	}
	return s.missed(ctx)
}

// unbindPlugin is not noticed by anybody: the projections' queue takes the events.
func unbindPlugin(ctx context.Context, s *strike) error {
	err := s.onBroker(func(channel *amqp.Channel) error {
		return channel.QueueUnbind(recorderQueue, recorderBinding, schema.Topic, nil)
	})
	if err != nil {
		return err
	}
	return s.during(ctx, func() error {
		return errors.Join(s.end("projections"), s.restart(ctx, "projections"), s.missed(ctx))
	})
}

// missed notes that the plugin may have missed any event so far. It gets them behind
// later ones.
func (s *strike) missed(ctx context.Context) (err error) {
	s.work.missed, err = s.committed(ctx)
	return err
}

func exchangeMissing(ctx context.Context, s *strike) error {
	if err := errors.Join(s.end("worker"), s.end("projections")); err != nil {
		return err
	}
	err := s.onBroker(func(channel *amqp.Channel) error {
		if err := channel.ExchangeDelete(schema.Topic, false, false); err != nil {
			return fmt.Errorf("delete the exchange: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	last, err := s.committed(ctx)
	if err != nil {
		return err
	}
	s.look(ctx, last)
	return errors.Join(s.restart(ctx, "worker"), s.restart(ctx, "projections"))
}
