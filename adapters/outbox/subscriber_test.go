package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rlapp/rlapp/adapters/outbox"
	"github.com/rlapp/rlapp/schema"
)

const patience = 10 * time.Second

// transport is what the relay publishes to. deliver says how each event ends; the
// events of a call that end with an error are named by it, as a broker does.
type transport struct {
	deliver func(e *message.Message) error
	handed  chan string // the queues of the events, in order
	calls   chan int    // the number of events of each call
}

type partial struct {
	error
	ids []string
}

func (p *partial) FailedMessages() []string { return p.ids }
func (p *partial) Unwrap() error            { return p.error }

func (tr *transport) Publish(topic string, events ...*message.Message) error {
	if topic != schema.Topic {
		return fmt.Errorf("the events go to %q", topic)
	}
	var errs []error
	tr.calls <- len(events)
	for _, e := range events {
		tr.handed <- e.Metadata.Get(schema.HeaderAggregateID)
		if e.Metadata.Get(schema.HeaderPublishedAt) == "" {
			return fmt.Errorf("event %s does not say when it was published", e.UUID)
		}
		err := tr.deliver(e)
		if refusal := outbox.Refusal(nil); errors.As(err, &refusal) {
			return err // and none of the call was sent
		}
		if about := (unnamed{}); errors.As(err, &about) {
			errs = append(errs, about.error)
		} else if err != nil {
			errs = append(errs, &partial{err, []string{e.UUID}})
		}
	}
	return errors.Join(errs...)
}

func (*transport) Close() error { return nil }

// relay runs Watermill's forwarder over the outbox with the middlewares of the
// relay, and returns the queues of the events that the transport was given.
func relay(t *testing.T, s *outbox.Subscriber, hopeless func(error) bool, deliver func(e *message.Message) error) *transport {
	t.Helper()
	tr := &transport{deliver: deliver, handed: make(chan string, 100_000), calls: make(chan int, 100_000)}
	forward(t, s, hopeless, tr)
	return tr
}

// forward runs the forwarder until the test ends.
func forward(t testing.TB, s *outbox.Subscriber, hopeless func(error) bool, tr message.Publisher) {
	t.Helper()
	park, err := middleware.PoisonQueueWithFilter(outbox.Parking{Hopeless: hopeless}, "poison", hopeless)
	if err != nil {
		t.Fatal(err)
	}
	retry := middleware.Retry{MaxRetries: 1, InitialInterval: time.Millisecond, ShouldRetry: isFlaky}
	f, err := forwarder.NewForwarder(s, outbox.NewPublisher(tr), watermill.NopLogger{}, forwarder.Config{
		ForwarderTopic: "outbox", Marshaler: outbox.Envelope{Destination: schema.Topic}, CloseTimeout: patience,
		Middlewares: []message.HandlerMiddleware{outbox.RecordFailure, park, retry.Middleware, middleware.Recoverer},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- f.Run(context.Background()) }()
	<-f.Running()
	t.Cleanup(func() {
		if err := errors.Join(f.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
}

var errFlaky = errors.New("flaky")

func isFlaky(p middleware.RetryParams) bool {
	panicked := middleware.RecoveredPanicError{}
	return errors.Is(p.Err, errFlaky) || errors.As(p.Err, &panicked)
}

func never(error) bool { return false }

func succeed(*message.Message) error { return nil }

// queueOf is the queue of an event.
func queueOf(e *message.Message) string { return e.Metadata.Get(schema.HeaderAggregateID) }

// receive collects n events.
func receive(t *testing.T, handed <-chan string, n int) []string {
	t.Helper()
	var got []string
	deadline := time.After(patience)
	for len(got) < n {
		select {
		case queueID := <-handed:
			got = append(got, queueID)
		case <-deadline:
			t.Fatalf("only %v within %v", got, patience)
		}
	}
	return got
}

type status struct {
	Queue, Status string
	Retries       int
}

func statuses(t *testing.T, pool *pgxpool.Pool) []status {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT aggregate_id, status, retry_count FROM waiting_room_outbox ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[status])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wantEventually waits until the outbox is in the wanted state.
func wantEventually(t *testing.T, pool *pgxpool.Pool, want ...status) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		got := statuses(t, pool)
		if cmp.Equal(want, got) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the outbox differs after %v (-want +got):\n%s", patience, cmp.Diff(want, got))
		}
	}
}

func TestRelayKeepsTheOrderAndMarksRows(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "a", "b", "a", "c")
	registry := prometheus.NewRegistry()
	handed := relay(t, newSubscriber(t, pool, outbox.Config{BatchSize: 3, Registerer: registry}), never, succeed)
	if diff := cmp.Diff([]string{"a", "b", "a", "c"}, receive(t, handed.handed, 4)); diff != "" {
		t.Errorf("order differs (-want +got):\n%s", diff)
	}
	wantEventually(t, pool, status{"a", "PUBLISHED", 0}, status{"b", "PUBLISHED", 0}, status{"a", "PUBLISHED", 0}, status{"c", "PUBLISHED", 0})
	eventually(t, func() bool { // no projection takes them
		var lagging int
		err := pool.QueryRow(t.Context(), `SELECT count(*) FROM event_processing_lag
			WHERE status <> 'PUBLISHED' OR event_published_at IS NULL OR outbox_dispatch_duration_ms IS NULL`).Scan(&lagging)
		if err != nil {
			t.Fatal(err)
		}
		return lagging == 0
	})
	if got, err := testutil.GatherAndCount(registry, "outbox_pending_count", "outbox_dispatch_duration_seconds"); err != nil || got != 2 {
		t.Errorf("%d of the relay's metrics, error %v", got, err)
	}
}

// The relay's poll is an hour here: only a wake-up can bring the event.
func TestAWakeUpBringsAnEventAtOnce(t *testing.T) {
	for name, wake := range map[string]func(t *testing.T, s *outbox.Subscriber, pool *pgxpool.Pool){
		"in this process": func(_ *testing.T, s *outbox.Subscriber, _ *pgxpool.Pool) { s.Wake() },
		"from another process": func(t *testing.T, _ *outbox.Subscriber, pool *pgxpool.Pool) {
			if _, err := pool.Exec(t.Context(), "SELECT pg_notify($1, '')", schema.OutboxChannel); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t)
			store(t, pool, "first")
			s := newSubscriber(t, pool, outbox.Config{PollInterval: time.Hour})
			handed := relay(t, s, never, succeed)
			receive(t, handed.handed, 1) // the relay leads and has drained
			wantEventually(t, pool, status{"first", "PUBLISHED", 0})
			store(t, pool, "second")
			wake(t, s, pool)
			receive(t, handed.handed, 1)
		})
	}
}

func TestAFailingEventHoldsBackOnlyItsQueue(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "bad", "good", "bad", "good")
	// Rows of one chunk have gone with it; the next chunk is what has to wait.
	handed := relay(t, newSubscriber(t, pool, outbox.Config{BatchSize: 2, Schedule: outbox.Schedule{time.Hour}}), never, func(e *message.Message) error {
		if queueOf(e) == "bad" {
			return errors.New("no")
		}
		return nil
	})
	if diff := cmp.Diff([]string{"bad", "good", "good"}, receive(t, handed.handed, 3)); diff != "" {
		t.Errorf("handed over (-want +got):\n%s", diff)
	}
	wantEventually(t, pool, status{"bad", "FAILED", 1}, status{"good", "PUBLISHED", 0}, status{"bad", "PENDING", 0}, status{"good", "PUBLISHED", 0})
	var lastError string
	var failedAt, nextAt time.Time
	err := pool.QueryRow(t.Context(), `SELECT last_error, last_failed_at, next_attempt_at FROM waiting_room_outbox WHERE retry_count = 1`).
		Scan(&lastError, &failedAt, &nextAt)
	if err != nil || lastError != "no" || nextAt.Sub(failedAt) != time.Hour {
		t.Errorf("error %q, next attempt after %v, %v", lastError, nextAt.Sub(failedAt), err)
	}
}

// A failure in every chunk of a backlog does not let the relay wait for its poll, an
// hour here, before it reads on.
func TestABacklogWithFailuresIsDrained(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "bad-1", "good", "bad-2", "good", "bad-3", "good")
	handed := relay(t, newSubscriber(t, pool, outbox.Config{BatchSize: 2, PollInterval: time.Hour, Schedule: outbox.Schedule{time.Hour}}), never,
		func(e *message.Message) error {
			if queueOf(e) != "good" {
				return errors.New("no")
			}
			return nil
		})
	if diff := cmp.Diff([]string{"bad-1", "good", "bad-2", "good", "bad-3", "good"}, receive(t, handed.handed, 6)); diff != "" {
		t.Errorf("handed over (-want +got):\n%s", diff)
	}
}

func TestWhatIsReadTogetherIsPublishedInOneCall(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "a", "b", "c", "d", "e")
	handed := relay(t, newSubscriber(t, pool, outbox.Config{BatchSize: 3}), never, succeed)
	receive(t, handed.handed, 5)
	if got := []int{<-handed.calls, <-handed.calls}; !cmp.Equal([]int{3, 2}, got) {
		t.Errorf("events of the calls: %v", got)
	}
}

// What is in flight at a stop is finished, and its row and lag say so.
func TestAStopMarksWhatWasInFlight(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "a")
	proceed := make(chan struct{})
	s := newSubscriber(t, pool, outbox.Config{})
	tr := relay(t, s, never, func(*message.Message) error { <-proceed; return nil })
	receive(t, tr.handed, 1)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	for err := error(nil); !errors.Is(err, outbox.ErrClosed); { // it has begun to stop
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.Subscribe(ctx, "outbox")
	}
	close(proceed)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	var lag string
	if err := pool.QueryRow(t.Context(), "SELECT status FROM event_processing_lag").Scan(&lag); err != nil || lag != "PUBLISHED" {
		t.Errorf("the lag is %s, error %v", lag, err)
	}
	wantEventually(t, pool, status{"a", "PUBLISHED", 0})
}

// A transport that panics says nothing about the events: none was delivered.
func TestAPanicDeliversNothing(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "a", "b")
	handed := relay(t, newSubscriber(t, pool, outbox.Config{Schedule: outbox.Schedule{time.Millisecond}}), never,
		func() func(*message.Message) error {
			calls := 0
			return func(*message.Message) error {
				if calls++; calls <= 2 {
					panic(errFlaky)
				}
				return nil
			}
		}())
	if diff := cmp.Diff([]string{"a", "a", "a", "b"}, receive(t, handed.handed, 4)); diff != "" {
		t.Errorf("handed over (-want +got):\n%s", diff)
	}
	wantEventually(t, pool, status{"a", "PUBLISHED", 1}, status{"b", "PUBLISHED", 1})
}

// After a quick retry, and after an event that can never travel, only the rest is
// published again.
func TestOnlyWhatFailedIsPublishedAgain(t *testing.T) {
	t.Run("a retry", func(t *testing.T) {
		pool := newPool(t)
		store(t, pool, "a", "flaky", "b")
		tries := 0
		handed := relay(t, newSubscriber(t, pool, outbox.Config{}), never, func(e *message.Message) error {
			if queueOf(e) == "flaky" {
				if tries++; tries == 1 {
					return errFlaky
				}
			}
			return nil
		})
		if diff := cmp.Diff([]string{"a", "flaky", "b", "flaky"}, receive(t, handed.handed, 4)); diff != "" {
			t.Errorf("handed over (-want +got):\n%s", diff)
		}
		wantEventually(t, pool, status{"a", "PUBLISHED", 0}, status{"flaky", "PUBLISHED", 0}, status{"b", "PUBLISHED", 0})
	})
	t.Run("an event that cannot travel", func(t *testing.T) {
		pool := newPool(t)
		store(t, pool, "a", "unfit", "b")
		hopeless := func(err error) bool { r := outbox.Refusal(nil); return errors.As(err, &r) }
		relay(t, newSubscriber(t, pool, outbox.Config{}), hopeless, func(e *message.Message) error {
			if queueOf(e) == "unfit" {
				return refusal(e.UUID)
			}
			return nil
		})
		wantEventually(t, pool, status{"a", "PUBLISHED", 0}, status{"unfit", "PARKED", 1}, status{"b", "PUBLISHED", 0})
	})
}

type refusal string

func (r refusal) Error() string          { return "it cannot travel" }
func (r refusal) RefusedMessage() string { return string(r) }

func TestAnEventIsParkedAfterItsAttempts(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "bad")
	handed := relay(t, newSubscriber(t, pool, outbox.Config{MaxAttempts: 3, Schedule: outbox.Schedule{time.Millisecond}}), never,
		func(*message.Message) error { return errors.New("no") })
	receive(t, handed.handed, 3)
	wantEventually(t, pool, status{"bad", "PARKED", 3})
	var lag string
	if err := pool.QueryRow(t.Context(), "SELECT status FROM event_processing_lag").Scan(&lag); err != nil || lag != "FAILED" {
		t.Errorf("the parked event's lag is %q, error %v", lag, err)
	}
}

// Hopeless and other failures of one chunk are told apart.
func TestAHopelessEventIsParkedAtOnce(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "hopeless", "bad", "good")
	errNever := errors.New("never")
	hopeless := func(err error) bool { return errors.Is(err, errNever) }
	relay(t, newSubscriber(t, pool, outbox.Config{Schedule: outbox.Schedule{time.Hour}}), hopeless, func(e *message.Message) error {
		return map[string]error{"hopeless": errNever, "bad": errors.New("no")}[queueOf(e)]
	})
	wantEventually(t, pool, status{"hopeless", "PARKED", 1}, status{"bad", "FAILED", 1}, status{"good", "PUBLISHED", 0})
}

func TestAnEventThatNoQueueTakesIsUnroutable(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "unroutable", "hopeless")
	errNoRoute, errNever := errors.New("no queue takes it"), errors.New("never")
	hopeless := func(err error) bool { return errors.Is(err, errNever) || errors.Is(err, errNoRoute) }
	relay(t, newSubscriber(t, pool, outbox.Config{IsUnroutable: func(err error) bool { return errors.Is(err, errNoRoute) }}), hopeless,
		func(e *message.Message) error {
			return map[string]error{"hopeless": errNever, "unroutable": errNoRoute}[queueOf(e)]
		})
	wantEventually(t, pool, status{"unroutable", "UNROUTABLE", 1}, status{"hopeless", "PARKED", 1})
	var why string
	if err := pool.QueryRow(t.Context(), "SELECT last_error FROM waiting_room_outbox WHERE unroutable").Scan(&why); err != nil ||
		!strings.Contains(why, "no queue takes it") {
		t.Errorf("the row says %q, error %v", why, err)
	}
}

// What the transport names is no sign that the others were delivered, where it also
// says that it is away.
func TestAnOutageAmongFailuresDeliversNothing(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "bad", "a")
	errAway := errors.New("away")
	tries := 0
	handed := relay(t, newSubscriber(t, pool, outbox.Config{
		OutageDelay: time.Millisecond, Schedule: outbox.Schedule{time.Hour},
		IsOutage: func(err error) bool { return errors.Is(err, errAway) },
	}), never, func(e *message.Message) error {
		switch {
		case queueOf(e) == "bad":
			return errors.New("no")
		case tries == 0:
			tries++
			return unnamed{errAway}
		}
		return nil
	})
	receive(t, handed.handed, 3)
	wantEventually(t, pool, status{"bad", "FAILED", 1}, status{"a", "PUBLISHED", 0})
}

// unnamed is an error of the transport that is about no single event.
type unnamed struct{ error }

func (u unnamed) Unwrap() error { return u.error }

func TestAnOutageUsesUpNoAttempt(t *testing.T) {
	pool := newPool(t)
	store(t, pool, "a", "a")
	errAway := errors.New("away")
	tries := 0
	handed := relay(t, newSubscriber(t, pool, outbox.Config{
		MaxAttempts: 1, OutageDelay: time.Millisecond, IsOutage: func(err error) bool { return errors.Is(err, errAway) },
	}), never, func(*message.Message) error {
		if tries++; tries < 5 {
			return errAway
		}
		return nil
	})
	receive(t, handed.handed, 6)
	wantEventually(t, pool, status{"a", "PUBLISHED", 0}, status{"a", "PUBLISHED", 0})
}

// With a backlog the next chunk is read and the last one marked while one is
// under way: the order of each queue holds, and every event goes once.
func TestABacklogIsDrainedInOrderAndOnce(t *testing.T) {
	pool := newPool(t)
	const events = 5000
	_, err := pool.Exec(t.Context(), `
		INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload, metadata)
		SELECT 'queue-' || i % 7, 'E', '{}', jsonb_build_object('lane', (i % 7)::text, 'version', i::text) FROM generate_series(1, $1::int) i`, events)
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]int{}
	handed := relay(t, newSubscriber(t, pool, outbox.Config{BatchSize: 100}), never, func(e *message.Message) error {
		version, err := strconv.Atoi(e.Metadata.Get(schema.HeaderVersion))
		if err != nil || version <= last[queueOf(e)] {
			t.Errorf("version %q of %s came after %d", e.Metadata.Get(schema.HeaderVersion), queueOf(e), last[queueOf(e)])
		}
		last[queueOf(e)] = version
		return nil
	})
	receive(t, handed.handed, events)
	eventually(t, func() bool { return count(t, pool, "NOT published") == 0 })
	if extra := len(handed.handed); extra > 0 {
		t.Errorf("%d events were published again", extra)
	}
}

// What was published of a backlog is cleared out of the index while the rest is drained.
func TestABacklogIsSweptOutOfItsIndex(t *testing.T) {
	pool := newPool(t)
	const events = 5000
	_, err := pool.Exec(t.Context(), `
		INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload, metadata)
		SELECT 'queue', 'E', '{}', '{"lane": "0"}' FROM generate_series(1, $1::int) i`, events)
	if err != nil {
		t.Fatal(err)
	}
	s := newSubscriber(t, pool, outbox.Config{BatchSize: 100})
	outbox.SweepAfter(s, 1000)
	handed := relay(t, s, never, succeed)
	receive(t, handed.handed, events)
	eventually(t, func() bool { return vacuums(t, pool) > 0 })
}

// vacuums counts those that autovacuum has not made.
func vacuums(t *testing.T, pool *pgxpool.Pool) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'waiting_room_outbox'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A chunk of a large backlog is read from the front of the index of what is pending, by
// the session itself, with one lookup a row in that of what is held: everything else takes
// longer the more there is. That is so whether the statistics know of the rows or not.
func TestALargeBacklogIsReadFromItsIndex(t *testing.T) {
	pool := newPool(t)
	for _, statement := range []string{
		`INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload, metadata)
			SELECT 'queue-' || i % 1000, 'E', jsonb_build_object('patientName', repeat('x', 100)), jsonb_build_object('lane', (i % 16)::text)
			FROM generate_series(1, 300000) i`,
		"ANALYZE waiting_room_outbox",
	} {
		if _, err := pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		wantPlan(t, pool)
	}
}

func wantPlan(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	lanes := []int16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	rows, err := pool.Query(t.Context(), "EXPLAIN "+outbox.PendingRows, lanes, "{[1,1001)}", 1000)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	plan := strings.Join(steps, "\n")
	for _, want := range []string{"Index Scan using waiting_room_outbox_pending", "Index Cond: (aggregate_id = o.aggregate_id)"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan has no %q:\n%s", want, plan)
		}
	}
	for _, slow := range []string{"Gather", "Sort", "Seq Scan", "Bitmap", "Materialize"} {
		if strings.Contains(plan, slow) {
			t.Errorf("the plan has a %s:\n%s", slow, plan)
		}
	}
}

func count(t *testing.T, pool *pgxpool.Pool, condition string) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM waiting_room_outbox WHERE "+condition).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// eventually polls for a state that nothing tells of.
func eventually(t *testing.T, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it did not come about within %v", patience)
		}
	}
}

// lanesOf tells how many lanes each session holds.
func lanesOf(t *testing.T, pool *pgxpool.Pool) []int {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT count(*)::int FROM pg_locks
		WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND objid < 16
		GROUP BY pid ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	lanes, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	return lanes
}

func TestRelaysShareTheLanesAndTakeOver(t *testing.T) {
	pool := newPool(t)
	config := outbox.Config{ShareInterval: 20 * time.Millisecond}
	first := newSubscriber(t, pool, config)
	handed := relay(t, first, never, succeed)
	eventually(t, func() bool { return cmp.Equal([]int{16}, lanesOf(t, pool)) })
	second := relay(t, newSubscriber(t, pool, config), never, succeed)
	eventually(t, func() bool { return cmp.Equal([]int{8, 8}, lanesOf(t, pool)) })

	var queues []string
	for n := range 64 {
		queues = append(queues, fmt.Sprintf("queue-%d", n))
	}
	store(t, pool, queues...)
	eventually(t, func() bool { return count(t, pool, "NOT published") == 0 })
	if a, b := len(handed.handed), len(second.handed); a == 0 || b == 0 || a+b != len(queues) {
		t.Errorf("one relay published %d events, the other %d, of %d", a, b, len(queues))
	}

	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return cmp.Equal([]int{16}, lanesOf(t, pool)) })
	store(t, pool, queues...)
	eventually(t, func() bool { return count(t, pool, "NOT published") == 0 })
}

// Relays that come and go in good order tell the others, which do not wait for their
// next look.
func TestRelaysHandTheLanesOverAtOnce(t *testing.T) {
	pool := newPool(t)
	config := outbox.Config{ShareInterval: time.Hour}
	first := newSubscriber(t, pool, config)
	relay(t, first, never, succeed)
	eventually(t, func() bool { return cmp.Equal([]int{16}, lanesOf(t, pool)) })
	relay(t, newSubscriber(t, pool, config), never, succeed)
	eventually(t, func() bool { return cmp.Equal([]int{8, 8}, lanesOf(t, pool)) })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return cmp.Equal([]int{16}, lanesOf(t, pool)) })
}

// A relay that has a backlog of its own still takes over the lanes of one whose
// session is lost. The lost one is a session of the test that holds lane 3.
func TestALostRelaysLanesAreTakenInTheMidstOfABacklog(t *testing.T) {
	pool := newPool(t)
	lost, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	session := lost.Hijack()
	defer func() { _ = session.Close(context.Background()) }()
	const class = 0x524c4150 // as the relays lock
	if _, err := session.Exec(t.Context(), "SELECT pg_advisory_lock_shared($1, 1000), pg_advisory_lock($1, 3)", class); err != nil {
		t.Fatal(err)
	}
	_, err = pool.Exec(t.Context(), `
		INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload, metadata) VALUES ('lost', 'E', '{}', '{"lane": "3"}');
		INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload, metadata)
		SELECT 'backlog', 'E', '{}', '{"lane": "0"}' FROM generate_series(1, 500)`)
	if err != nil {
		t.Fatal(err)
	}
	step := make(chan struct{})
	tr := relay(t, newSubscriber(t, pool, outbox.Config{BatchSize: 1, ShareInterval: 10 * time.Millisecond}), never,
		func(*message.Message) error { <-step; return nil })
	steps := 0
	next := func() string { // of the backlog, one at a time
		queueID := receive(t, tr.handed, 1)[0]
		step <- struct{}{}
		steps++
		return queueID
	}
	defer close(step)
	next() // the relay is in the midst of it
	_, err = pool.Exec(t.Context(), "SELECT pg_terminate_backend($1::int)", session.PgConn().PID())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return cmp.Equal([]int{16}, lanesOf(t, pool)) })
	for next() != "lost" {
		if steps == 400 {
			t.Fatal("the lanes that were taken wait for the end of the backlog")
		}
	}
}

// A transaction that took its id early and commits late must not be overtaken
// for good.
func TestALateCommitIsFound(t *testing.T) {
	pool := newPool(t)
	late, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = late.Rollback(context.Background()) }()
	_, err = late.Exec(t.Context(), `INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload) VALUES ('late', 'E', '{}')`)
	if err != nil {
		t.Fatal(err)
	}
	store(t, pool, "early")
	handed := relay(t, newSubscriber(t, pool, outbox.Config{}), never, succeed)
	receive(t, handed.handed, 1)
	wantEventually(t, pool, status{"early", "PUBLISHED", 0})
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"late"}, receive(t, handed.handed, 1)); diff != "" {
		t.Errorf("handed over (-want +got):\n%s", diff)
	}
	wantEventually(t, pool, status{"late", "PUBLISHED", 0}, status{"early", "PUBLISHED", 0})
}

// What becomes free in the midst of a backlog goes before the later events of its queue,
// and a transaction that commits late is found.
func TestABacklogPassesNothingOver(t *testing.T) {
	pool := newPool(t)
	insert := func(on interface {
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	}, queueID, version string, parked bool,
	) {
		t.Helper()
		if _, err := on.Exec(t.Context(), `INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload, metadata, retry_count, parked_at)
			VALUES ($1, 'E', '{}', jsonb_build_object('version', $2::text), $3::bool::int, CASE WHEN $3 THEN now() END)`, queueID, version, parked); err != nil {
			t.Fatal(err)
		}
	}
	insert(pool, "freed", "1", true)
	insert(pool, "freed", "2", false)
	late, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = late.Rollback(context.Background()) }()
	insert(late, "late", "1", false)
	for _, queueID := range []string{"a", "b", "c", "d"} {
		insert(pool, queueID, "1", false)
	}
	insert(pool, "freed", "3", false)
	freed := make(chan string, 3)
	calls := 0
	handed := relay(t, newSubscriber(t, pool, outbox.Config{BatchSize: 1, PollInterval: time.Hour}), never, func(e *message.Message) error {
		if queueOf(e) == "freed" {
			freed <- e.Metadata.Get(schema.HeaderVersion)
		}
		if calls++; calls == 2 { // an operator retries what is parked
			_, err := pool.Exec(t.Context(), "UPDATE waiting_room_outbox SET parked_at = NULL WHERE aggregate_id = 'freed'")
			return errors.Join(err, late.Commit(t.Context()))
		}
		return nil
	})
	receive(t, handed.handed, 8)
	if diff := cmp.Diff([]string{"1", "2", "3"}, receive(t, freed, 3)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestTheRelaySurvivesALostSession(t *testing.T) {
	pool := newPool(t)
	handed := relay(t, newSubscriber(t, pool, outbox.Config{OutageDelay: time.Millisecond}), never, succeed)
	store(t, pool, "a")
	receive(t, handed.handed, 1)
	wantEventually(t, pool, status{"a", "PUBLISHED", 0})
	// The session that holds the lanes, and not one that the test's pool has at hand.
	var killed int
	err := pool.QueryRow(t.Context(), `
		SELECT count(pg_terminate_backend(pid)) FROM (
			SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database
			WHERE l.locktype = 'advisory' AND d.datname = current_database()) AS leaders`).Scan(&killed)
	if err != nil || killed != 1 {
		t.Fatalf("%d sessions were ended, error %v", killed, err)
	}
	store(t, pool, "b")
	if diff := cmp.Diff([]string{"b"}, receive(t, handed.handed, 1)); diff != "" {
		t.Errorf("handed over (-want +got):\n%s", diff)
	}
}

func TestConfigMistakesAreReportedTogether(t *testing.T) {
	_, err := outbox.NewSubscriber(newPool(t), logger, outbox.Config{BatchSize: -1, MaxAttempts: -1, Schedule: outbox.Schedule{}})
	for _, want := range []string{"BatchSize", "MaxAttempts", "Schedule"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func TestSchedule(t *testing.T) {
	s := outbox.NewSchedule(30 * time.Second)
	for failures, want := range map[int]time.Duration{
		0: 30 * time.Second, 1: 30 * time.Second, 2: 2 * time.Minute, 3: 30 * time.Minute, 4: time.Hour, 9: time.Hour,
	} {
		if got := s.After(failures); got != want {
			t.Errorf("after %d failures: %v, want %v", failures, got, want)
		}
	}
}
