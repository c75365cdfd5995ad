package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/IBM/pgxpoolprometheus"
	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/components/metrics"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/rlapp/rlapp/adapters/outbox"
	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/app/server/config"
	"github.com/rlapp/rlapp/app/server/logging"
	"github.com/rlapp/rlapp/handlers/httpapi"
	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/handlers/projection"
	"github.com/rlapp/rlapp/readmodel"
)

// Server is one RLAPP process. New makes it, Run runs it, once.
type Server struct {
	role    Role
	config  config.Config
	logger  *slog.Logger
	out     io.Writer
	plugins []plugin.Plugin
	process *process

	watermillLogger watermill.LoggerAdapter
	registry        *prometheus.Registry
	metrics         metrics.PrometheusMetricsBuilder
	failures        *prometheus.CounterVec

	pool  *pgxpool.Pool
	views *readmodel.Store
	addr  net.Addr
	ready chan struct{}
}

// New returns a process with the given role and, where it runs handlers, the
// plugins. It connects to nothing yet. The logger takes everything it has to say
// but the greeting, which goes to out.
func New(role Role, c config.Config, logger *slog.Logger, out io.Writer, plugins ...plugin.Plugin) *Server {
	registry := prometheus.NewRegistry()
	return &Server{
		role:            role,
		config:          c,
		logger:          logger,
		out:             out,
		plugins:         plugins,
		process:         newProcess(logger),
		watermillLogger: watermill.NewSlogLoggerWithLevelMapping(logger, map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug}),
		registry:        registry,
		metrics:         watermillMetrics(registry),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "event_processing_failures_total",
			Help: "Events that a handler gave up after its retries, or that the relay failed on.",
		}, []string{"event_name", "handler"}),
		ready: make(chan struct{}),
	}
}

// Ready is closed when the process is at work.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Address is where the process listens; it is known once Ready is closed.
func (s *Server) Address() string { return s.addr.String() }

// Run works until ctx ends, then lets what is in flight finish, within
// Api__ShutdownTimeoutSeconds. It returns nil after a clean end, and otherwise
// what could not start, broke, or did not end in time.
func (s *Server) Run(ctx context.Context) (err error) {
	tuneCollector()
	defer func() {
		err = errors.Join(err, s.process.stop(s.config.Api.ShutdownTimeout()))
		if s.pool != nil {
			s.pool.Close()
		}
	}()
	if err := s.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while starting
		}
		return err
	}
	close(s.ready)
	return s.process.wait(ctx)
}

// start brings the parts up against the way of an event: who receives first.
func (s *Server) start(ctx context.Context) error {
	if s.role.servesAPI() {
		if err := checkExposure(s.config); err != nil {
			return err
		}
	}
	connString, err := s.database(ctx)
	if err != nil {
		return err
	}
	if err := s.openPool(ctx, connString); err != nil {
		return err
	}
	t := &transport{close: func() error { return nil }}
	if s.role.needsBroker() {
		if t, err = newTransport(s.config, s.queues(), s.logger, s.watermillLogger); err != nil {
			return err
		}
		err := errors.Join(s.process.start(ctx, closeStage("transport", t.close)), s.startCheckpoints(ctx, t))
		if err != nil {
			return err
		}
	}
	if s.role.projects() {
		if err := s.startHandlers(ctx, t); err != nil {
			return err
		}
	}
	wake := func() {}
	if s.role.relays() {
		if wake, err = s.startRelay(ctx, t); err != nil {
			return err
		}
	}
	return s.startHTTP(ctx, t, wake)
}

func (s *Server) openPool(ctx context.Context, connString string) (err error) {
	s.pool, err = postgres.Open(ctx, connString, postgres.PoolConfig{
		MaxConnections: s.config.EventStore.MaxConnections, ApplicationName: "rlapp-" + string(s.role),
	})
	if err != nil {
		return err
	}
	s.views = readmodel.NewStore(s.pool)
	err = errors.Join(
		s.registry.Register(s.failures),
		s.registry.Register(collectors.NewGoCollector()),
		s.registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		s.registry.Register(pgxpoolprometheus.NewCollector(s.pool, map[string]string{"db_name": s.pool.Config().ConnConfig.Database})),
	)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if err := postgres.CheckDurability(ctx, s.pool); err != nil {
		return err
	}
	if s.role == RoleAll {
		return postgres.Migrate(ctx, s.pool)
	}
	return postgres.CheckSchema(ctx, s.pool)
}

func (s *Server) startHandlers(ctx context.Context, t *transport) error {
	catchUp, err := projection.NewCatchUp(s.views, postgres.NewPoisonStore(s.pool), s.logger, s.registry)
	if err != nil {
		return err
	}
	marks, err := s.startPluginCatchUp(ctx, t)
	if err != nil {
		return err
	}
	handlers, err := s.handlerStage(t, marks)
	if err != nil {
		return err
	}
	return errors.Join(
		s.process.start(ctx, s.rollUpStage()),
		s.process.start(ctx, stage{name: "projections' catch-up", run: catchUp.Run}),
		s.process.start(ctx, handlers),
		s.process.start(ctx, s.replayStage(t)),
	)
}

// startCheckpoints begins to look for what plugins miss, before the relay makes their
// queues. Within one process they miss nothing, and nothing is noted: what is known from
// before would have everything missed when there is a broker again.
func (s *Server) startCheckpoints(ctx context.Context, t *transport) error {
	var handlers []string
	for _, q := range plugin.Queues(s.plugins) {
		handlers = append(handlers, q.Handler)
	}
	checkpoints := postgres.NewPluginCheckpoints(s.pool)
	if t.waiting == nil {
		return checkpoints.Drop(ctx, handlers)
	}
	return checkpoints.Start(ctx, handlers)
}

// startPluginCatchUp returns what notes what plugins are done with, which is stored until
// they have ended; nil where they can miss nothing.
func (s *Server) startPluginCatchUp(ctx context.Context, t *transport) (*plugin.Marks, error) {
	if t.waiting == nil || len(s.plugins) == 0 {
		return nil, nil
	}
	store := postgres.NewPluginCheckpoints(s.pool)
	catchUp, err := plugin.NewCatchUp(s.plugins, store, plugin.Transport{Waiting: t.waiting, Hand: t.hand}, s.logger, s.registry)
	if err != nil {
		return nil, err
	}
	marks := plugin.NewMarks(store, s.logger)
	return marks, errors.Join(
		s.process.start(ctx, stage{name: "plugins' marks", run: marks.Run}),
		s.process.start(ctx, stage{name: "plugins' catch-up", run: catchUp.Run}),
	)
}

// startRelay returns what wakes the relay after a commit in this process.
func (s *Server) startRelay(ctx context.Context, t *transport) (wake func(), err error) {
	c := s.config.OutboxDispatcher
	relay, err := outbox.NewSubscriber(s.pool, s.logger, outbox.Config{
		PollInterval: c.PollingInterval(),
		BatchSize:    c.BatchSize,
		MaxAttempts:  c.MaxRetryAttempts,
		Schedule:     outbox.NewSchedule(c.BaseRetryDelay()),
		IsOutage:     t.outage,
		IsUnroutable: t.unroutable,
		Registerer:   s.registry,
		Failures:     s.failures,
	})
	if err != nil {
		return nil, err
	}
	relaying, err := s.relayStage(relay, t)
	if err != nil {
		return nil, err
	}
	if err := t.prepare(ctx); err != nil {
		s.logger.WarnContext(ctx, "the handlers' queues could not be made yet; events wait in the outbox", "Component", "OutboxWorker", "error", err)
	}
	return relay.Wake, errors.Join(s.process.start(ctx, relaying), s.startPruner(ctx))
}

// startPruner keeps the outbox to its retention.
func (s *Server) startPruner(ctx context.Context) error {
	retention := s.config.OutboxDispatcher.Retention()
	if retention == 0 {
		return nil
	}
	pruner, err := outbox.NewPruner(s.pool, s.logger, retention, s.registry)
	if err != nil {
		return err
	}
	return s.process.start(ctx, stage{name: "outbox pruner", run: pruner.Run})
}

// startHTTP serves the operations of every process, and the API where the role has one.
func (s *Server) startHTTP(ctx context.Context, t *transport, wake func()) (err error) {
	checks := append([]httpapi.Check{{Name: "postgres", Probe: s.views.Ping}}, t.checks...)
	operations := httpapi.NewOperations(s.registry, checks...)
	handler, address := operations.Handler(), s.config.Worker.Address
	switch {
	case s.role.servesAPI():
		address = s.config.Api.Address
		if handler, err = s.startAPI(ctx, operations, wake); err != nil {
			return err
		}
	case s.role.projects():
		address = s.config.Projections.Address
	}
	serving, addr, err := httpStage(ctx, address, handler, s.logger, s.config.Api.ShutdownTimeout())
	if err != nil {
		return err
	}
	s.addr = addr
	if err := s.process.start(ctx, serving); err != nil {
		return err
	}
	s.logger.InfoContext(ctx, "ready", "Component", s.role.component(), "role", s.role, "address", addr.String())
	return s.greet()
}

// startAPI starts what the API needs and returns its handler. wake is called
// after each commit.
func (s *Server) startAPI(ctx context.Context, operations *httpapi.Operations, wake func()) (http.Handler, error) {
	outboxRows, err := s.metrics.DecoratePublisher(postgres.OutboxPublisher{})
	if err != nil {
		return nil, fmt.Errorf("decorate the outbox: %w", err)
	}
	notifier := postgres.NewNotifier(s.pool, s.logger)
	store := postgres.NewEventStore(s.pool, postgres.EventStoreConfig{
		AfterCommit: func() { wake(); notifier.Notify() }, Outbox: outboxRows,
	})
	bus, commands, err := s.commandStage(store)
	if err != nil {
		return nil, err
	}
	retention, err := s.newRetention()
	if err != nil {
		return nil, err
	}
	rebuilds := readmodel.NewRebuilder(s.views, s.logger)
	err = errors.Join(
		s.process.start(ctx, stage{name: "relay wake-up", run: notifier.Run}),
		s.process.start(ctx, s.answersStage(store)),
		s.process.start(ctx, stage{name: "retention", run: retention.Run}),
		s.process.start(ctx, stage{name: "rebuilds", run: rebuilds.Run, stop: func() error { rebuilds.Close(); return nil }}),
		s.process.start(ctx, commands),
	)
	if err != nil {
		return nil, err
	}
	authentication, err := s.authentication(ctx)
	if err != nil {
		return nil, err
	}
	return httpapi.New(bus, s.views, rebuilds, operations, s.logger, s.registry, httpapi.Config{
		MaxBodyBytes: s.config.Api.MaxBodyBytes, MaxInFlight: s.config.Api.MaxInFlight, MaxListeners: s.config.Api.MaxListeners,
		RequestsPerMinute: s.config.Api.RequestsPerMinute, Authentication: authentication, Stopping: ctx.Done(),
		Annotate: logging.WithCorrelationID, Rehearsals: s.rehearsals(), Retain: retention.Start,
	})
}

// closeStage is a part that only has to be closed in its turn.
func closeStage(name string, closePart func() error) stage {
	return stage{
		name: name,
		run:  func(ctx context.Context) error { <-ctx.Done(); return nil },
		stop: closePart,
	}
}
