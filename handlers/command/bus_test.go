package command_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/components/metrics"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/inprocess"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/waitingroom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Wrap(m)) }

var tenOClock = time.Date(2026, 2, 19, 10, 0, 0, 0, time.UTC)

// memory is an event store without a database: what is tested here is the way
// of a command, and how the store's answers come back. The store itself is
// tested on PostgreSQL.
type memory struct {
	append func(attempt int) error
	events []waitingroom.Event
	causes []waitingroom.Cause
	tries  int
}

func (m *memory) Load(_ context.Context, queues ...*waitingroom.Queue) error {
	for _, q := range queues {
		q.Apply(m.events[q.Version():]...)
	}
	return nil
}

func (m *memory) Append(_ context.Context, changes ...waitingroom.Change) ([]waitingroom.Appended, error) {
	m.tries++
	if m.append != nil {
		if err := m.append(m.tries); err != nil {
			return nil, err
		}
	}
	var answers []waitingroom.Appended
	for _, c := range changes {
		m.events, m.causes = append(m.events, c.Events...), append(m.causes, c.Cause)
		answers = append(answers, waitingroom.Appended{EventCount: len(c.Events), Version: c.Expected + int64(len(c.Events))})
	}
	return answers, nil
}

func (*memory) Answers(context.Context, ...string) (map[string]waitingroom.Answer, error) {
	return map[string]waitingroom.Answer{}, nil
}

var conflict = &waitingroom.Error{Code: waitingroom.CodeConflict, Message: "lost the race"}

// newBus runs the command router over a store until the test ends.
func newBus(t *testing.T, store command.EventStore, registry prometheus.Registerer) *command.Bus {
	t.Helper()
	return runBus(t, command.NewHandlers(store, command.Config{
		MaxCapacity: 1, MaxAttempts: 3, Now: func() time.Time { return tenOClock },
	}), registry)
}

func runBus(t testing.TB, handlers *command.Handlers, registry prometheus.Registerer) *command.Bus {
	t.Helper()
	pubsub, err := inprocess.New(inprocess.Config{})
	if err != nil {
		t.Fatal(err)
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	router.AddMiddleware(command.ReplyFailure)
	metrics.NewPrometheusMetricsBuilder(registry, "watermill", "").AddPrometheusRouterMetrics(router)
	command.Register(router, pubsub, handlers)
	done := make(chan error)
	go func() { done <- router.Run(context.Background()) }()
	<-router.Running()
	t.Cleanup(func() {
		if err := errors.Join(router.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return command.NewBus(pubsub)
}

func johnDoe() command.Envelope[waitingroom.CheckIn] {
	return command.Envelope[waitingroom.CheckIn]{
		CorrelationID: "c-1", Actor: "reception",
		Command: waitingroom.CheckIn{
			QueueID: "queue-1", PatientID: "patient-1", PatientName: "John Doe", Priority: "high", ConsultationType: "Cardiology",
		},
	}
}

func TestACommandIsDecidedAndAnswered(t *testing.T) {
	store, registry := &memory{}, prometheus.NewRegistry()
	e := johnDoe()
	e.IdempotencyKey = "k-1"
	appended, err := command.Send(t.Context(), newBus(t, store, registry), e)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(waitingroom.Appended{EventCount: 2, Version: 2, Last: store.events[1]}, appended); diff != "" {
		t.Errorf("answer differs (-want +got):\n%s", diff)
	}
	cause := store.causes[0]
	if cause.CausationID == "" {
		t.Error("the events do not name the command's message")
	}
	cause.CausationID = ""
	want := waitingroom.Cause{OccurredAt: tenOClock, CorrelationID: "c-1", Actor: "reception", IdempotencyKey: "k-1"}
	if diff := cmp.Diff(want, cause); diff != "" {
		t.Errorf("cause differs (-want +got):\n%s", diff)
	}
	// The handler is measured when it has returned, a moment after its reply.
	tick, deadline := time.NewTicker(time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for {
		n, err := testutil.GatherAndCount(registry, "watermill_handler_execution_time_seconds")
		if err == nil && n == 1 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d handlers measured, error %v", n, err)
		}
	}
}

func TestARefusalComesBackTyped(t *testing.T) {
	bus := newBus(t, &memory{}, prometheus.NewRegistry())
	bad := johnDoe()
	bad.Command.Priority = "asap"
	_, err := command.Send(t.Context(), bus, bad)
	var refusal *waitingroom.Error
	if !errors.As(err, &refusal) || refusal.Code != waitingroom.CodeInvalid || refusal.Fields[0].Field != "priority" {
		t.Errorf("got %v", err)
	}
}

func TestALostRaceIsTriedAgainABoundedNumberOfTimes(t *testing.T) {
	t.Run("then it succeeds", func(t *testing.T) {
		store := &memory{append: func(attempt int) error {
			if attempt < 3 {
				return conflict
			}
			return nil
		}}
		if _, err := command.Send(t.Context(), newBus(t, store, prometheus.NewRegistry()), johnDoe()); err != nil || store.tries != 3 {
			t.Errorf("after %d tries: %v", store.tries, err)
		}
	})
	t.Run("or it is a conflict", func(t *testing.T) {
		store := &memory{append: func(int) error { return conflict }}
		_, err := command.Send(t.Context(), newBus(t, store, prometheus.NewRegistry()), johnDoe())
		var refusal *waitingroom.Error
		if !errors.As(err, &refusal) || refusal.Code != waitingroom.CodeConflict || store.tries != 3 {
			t.Errorf("after %d tries: %v", store.tries, err)
		}
	})
}

func TestAFailureIsAnsweredAndNotTriedAgain(t *testing.T) {
	errDisk := errors.New("disk full")
	for name, fail := range map[string]func(int) error{
		"an error": func(int) error { return errDisk },
		"a panic":  func(int) error { panic(errDisk) },
	} {
		t.Run(name, func(t *testing.T) {
			store, registry := &memory{append: fail}, prometheus.NewRegistry()
			bus := newBus(t, store, registry)
			_, err := command.Send(t.Context(), bus, johnDoe())
			var refusal *waitingroom.Error
			if err == nil || errors.As(err, &refusal) {
				t.Errorf("got %v", err)
			}
			store.append = nil
			if _, err := command.Send(t.Context(), bus, johnDoe()); err != nil || store.tries != 2 {
				t.Errorf("the next command after %d tries: %v", store.tries, err)
			}
		})
	}
}

func TestASenderWhoLeavesIsNotWaitedFor(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	store := &memory{append: func(int) error { leave(); return nil }}
	if _, err := command.Send(ctx, newBus(t, store, prometheus.NewRegistry()), johnDoe()); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
