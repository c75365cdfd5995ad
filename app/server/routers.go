package server

import (
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/components/metrics"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/adapters/inprocess"
	"github.com/rlapp/rlapp/adapters/outbox"
	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/handlers/poison"
	"github.com/rlapp/rlapp/handlers/projection"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// Watermill's own buckets start at 0.1 ms steps that suit nobody here; these run
// from 1 ms to 65 s.
var watermillBuckets = prometheus.ExponentialBuckets(0.001, 2, 17)

// watermillMetrics decorates routers, publishers and subscribers with
// Watermill's metrics.
func watermillMetrics(registerer prometheus.Registerer) metrics.PrometheusMetricsBuilder {
	b := metrics.NewPrometheusMetricsBuilder(registerer, "watermill", "")
	b.PublishBuckets, b.HandlerBuckets = watermillBuckets, watermillBuckets
	return b
}

func (s *Server) newRouter() (*message.Router, error) {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: s.config.Api.ShutdownTimeout()}, s.watermillLogger)
	if err != nil {
		return nil, fmt.Errorf("make a router: %w", err)
	}
	return router, nil
}

func routerStage(name string, router *message.Router) stage {
	return stage{
		name:  name,
		run:   router.Run,
		ready: func() <-chan struct{} { return router.Running() },
		stop:  router.Close,
	}
}

// commandStage carries commands from the HTTP edge to the use cases.
func (s *Server) commandStage(store *postgres.EventStore) (*command.Bus, stage, error) {
	router, err := s.newRouter()
	if err != nil {
		return nil, stage{}, err
	}
	bus, err := inprocess.New(inprocess.Config{})
	if err != nil {
		return nil, stage{}, fmt.Errorf("make the command bus: %w", err)
	}
	router.AddMiddleware(command.ReplyFailure)
	s.metrics.AddPrometheusRouterMetrics(router)
	handlers := command.NewHandlers(store, command.Config{
		MaxCapacity: s.config.WaitingRoom.MaxCapacity, Lanes: s.config.EventStore.Lanes, CacheSize: s.config.EventStore.CacheSize,
		Location: s.config.WaitingRoom.Location(), IsOutage: readmodel.Unavailable, IsContended: readmodel.Contended,
	})
	if err := s.registry.Register(handlers); err != nil {
		return nil, stage{}, fmt.Errorf("register the commands' metrics: %w", err)
	}
	command.Register(router, bus, handlers)
	publisher, err := s.metrics.DecoratePublisher(bus)
	if err != nil {
		return nil, stage{}, fmt.Errorf("decorate the command bus: %w", err)
	}
	return command.NewBus(publisher), routerStage("command router", router), nil
}

// relayStage hands outbox rows to the transport through Watermill's forwarder.
func (s *Server) relayStage(relay *outbox.Subscriber, t *transport) (stage, error) {
	router, err := s.newRouter()
	if err != nil {
		return stage{}, err
	}
	s.metrics.AddPrometheusRouterMetrics(router)
	publisher, err := s.metrics.DecoratePublisher(t.publisher)
	if err != nil {
		return stage{}, fmt.Errorf("decorate the transport: %w", err)
	}
	park, err := middleware.PoisonQueueWithFilter(outbox.Parking{Hopeless: t.hopeless}, poison.Topic, t.hopeless)
	if err != nil {
		return stage{}, fmt.Errorf("make the relay's poison middleware: %w", err)
	}
	retry := middleware.Retry{
		MaxRetries:      relayRetries,
		InitialInterval: 50 * time.Millisecond,
		MaxInterval:     time.Second,
		Multiplier:      2,
		ShouldRetry:     func(p middleware.RetryParams) bool { return !t.outage(p.Err) },
	}
	_, err = forwarder.NewForwarder(relay, outbox.NewPublisher(publisher), s.watermillLogger, forwarder.Config{
		Marshaler:      outbox.Envelope{Destination: schema.Topic},
		ForwarderTopic: outboxTopic,
		HandlerName:    outbox.HandlerName,
		Router:         router,
		Middlewares:    []message.HandlerMiddleware{outbox.RecordFailure, park, retry.Middleware, middleware.Recoverer},
	})
	if err != nil {
		return stage{}, fmt.Errorf("make the forwarder: %w", err)
	}
	return routerStage("outbox relay", router), nil
}

const (
	// relayRetries are the quick tries before a row goes on the outbox schedule.
	relayRetries = 3
	// outboxTopic names the forwarder's topic in logs and metrics.
	outboxTopic = "waiting_room_outbox"
)

// projectionQueue feeds all projections: they share the transaction of an event.
var projectionQueue = plugin.Queue{Handler: projection.HandlerName, MaxInFlight: projection.MaxInFlight}

// queues lists the queue of every handler: the projections' and the plugins'.
func (s *Server) queues() []plugin.Queue {
	return append([]plugin.Queue{projectionQueue}, plugin.Queues(s.plugins)...)
}

// handlerStage subscribes the projections and the plugins to the transport.
func (s *Server) handlerStage(t *transport, marks *plugin.Marks) (stage, error) {
	router, err := s.newRouter()
	if err != nil {
		return stage{}, err
	}
	s.metrics.AddPrometheusRouterMetrics(router)
	store := postgres.NewPoisonStore(s.pool)
	if err := s.registry.Register(store); err != nil {
		return stage{}, fmt.Errorf("register the poison store's metric: %w", err)
	}
	poisoned, err := s.metrics.DecoratePublisher(store)
	if err != nil {
		return stage{}, fmt.Errorf("decorate the poison store: %w", err)
	}
	subscriber, err := t.subscriber(projectionQueue)
	if err != nil {
		return stage{}, fmt.Errorf("make the projections' subscriber: %w", err)
	}
	projections, err := projection.Plugin(s.views, subscriber, poisoned, s.logger, projection.Config{Registerer: s.registry, Failures: s.failures})
	if err != nil {
		return stage{}, err
	}
	plugins, err := plugin.Register(s.plugins, t.subscriber, poisoned, s.logger, plugin.Config{
		Failures: s.failures, Transactions: postgres.NewHandledEvents(s.pool), IsPassing: readmodel.Passing,
		Marks: marks,
	})
	if err != nil {
		return stage{}, err
	}
	router.AddPlugin(projections, plugins)
	return routerStage("handlers", router), nil
}
