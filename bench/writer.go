package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rlapp/rlapp/adapters/inprocess"
	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/waitingroom"
)

// writePath is RLAPP's without HTTP, wired as app/server does: the command bus, its
// router, the lanes and the event store, and the notification that wakes the relay in
// the other process. The peers' writers have no HTTP either.
type writePath struct {
	bus  *command.Bus
	stop func() error
}

func (b *bench) writePath(ctx context.Context) (*writePath, error) {
	pubsub, err := inprocess.New(inprocess.Config{})
	if err != nil {
		return nil, err
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	notifier := postgres.NewNotifier(b.pool, slog.New(slog.DiscardHandler))
	store := postgres.NewEventStore(b.pool, postgres.EventStoreConfig{AfterCommit: notifier.Notify})
	router.AddMiddleware(command.ReplyFailure)
	command.Register(router, pubsub, command.NewHandlers(store, command.Config{MaxCapacity: 100_000}))
	notifying, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 2)
	go func() { ended <- notifier.Run(notifying) }()
	go func() { ended <- router.Run(context.WithoutCancel(ctx)) }()
	<-router.Running()
	return &writePath{bus: command.NewBus(pubsub), stop: func() error {
		err := router.Close()
		end()
		return errors.Join(err, <-ended, <-ended)
	}}, nil
}

// send returns a send of check-ins over queues.
func (w *writePath) send(queues int) send {
	return func(ctx context.Context, _, event int) error {
		_, err := command.Send(ctx, w.bus, command.Envelope[waitingroom.CheckIn]{
			CorrelationID: patient(event), Actor: "anonymous",
			Command: waitingroom.CheckIn{
				QueueID: queue(event, queues), PatientID: patient(event), PatientName: "Perpetua Testname",
				Priority: "low", ConsultationType: "X-ray",
			},
		})
		return err
	}
}
