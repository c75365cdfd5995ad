package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/schema"
)

// projectionQueue feeds the projections.
const projectionQueue = schema.Topic + ".projections"

func brokerFaults() []fault {
	return []fault{
		{name: "memory-alarm", what: "RabbitMQ's memory alarm blocks publishers, for 60 s; the worker is restarted meanwhile", lasts: time.Minute, gated: true, strike: memoryAlarm},
		{name: "binding-deleted", what: "the binding of the projections' queue is deleted; the projections are restarted 2 s later", lasts: 2 * time.Second, strike: unbind},
		{name: "queue-deleted", what: "the projections' queue is deleted while they run", lasts: 2 * time.Second, strike: deleteQueue},
		{name: "exchange-missing", what: "the exchange is missing when the worker and the projections start", strike: exchangeMissing},
	}
}

func memoryAlarm(ctx context.Context, s *system, lasts time.Duration) error {
	if _, err := s.broker.Ctl(ctx, "set_vm_memory_high_watermark", "absolute", "1MB"); err != nil {
		return err
	}
	s.struck()
	return during(ctx, lasts, func() error {
		stopped := errors.Join(s.end("worker"), s.restart(ctx, "worker")) // a stop does not hang on it
		_, err := s.broker.Ctl(context.WithoutCancel(ctx), "set_vm_memory_high_watermark", "0.4")
		return errors.Join(stopped, err)
	})
}

// unbind leaves the events to nobody but the recorder. The projections learn of them
// from the store, also without the restart, which only mends the binding.
func unbind(ctx context.Context, s *system, lasts time.Duration) error {
	err := s.onBroker(func(channel *amqp.Channel) error {
		return channel.QueueUnbind(projectionQueue, "#", schema.Topic, nil)
	})
	if err != nil {
		return err
	}
	return during(ctx, lasts, func() error { return errors.Join(s.end("projections"), s.restart(ctx, "projections")) })
}

func deleteQueue(ctx context.Context, s *system, lasts time.Duration) error {
	err := s.onBroker(func(channel *amqp.Channel) error {
		_, err := channel.QueueDelete(projectionQueue, false, false, false)
		return err
	})
	if err != nil {
		return err
	}
	return during(ctx, lasts, func() error { return nil })
}

func exchangeMissing(ctx context.Context, s *system, _ time.Duration) error {
	if err := errors.Join(s.end("worker"), s.end("projections")); err != nil {
		return err
	}
	err := s.onBroker(func(channel *amqp.Channel) error {
		if err := channel.ExchangeDelete(schema.Topic, false, false); err != nil {
			return fmt.Errorf("delete the exchange: %w", err)
		}
		return nil
	})
	return errors.Join(err, s.restart(ctx, "worker"), s.restart(ctx, "projections"))
}
