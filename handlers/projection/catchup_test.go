package projection_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/handlers/projection"
	"github.com/rlapp/rlapp/schema"
)

// settle makes the stored events as old as those that are checked.
func (f *fixture) settle(t *testing.T) {
	t.Helper()
	if _, err := f.pool.Exec(t.Context(), "UPDATE waiting_room_events SET created_at = created_at - interval '1 minute'"); err != nil {
		t.Fatal(err)
	}
}

// catchUp catches up until check finds nothing wrong.
func (f *fixture) catchUp(t *testing.T, done func() bool) *prometheus.Registry {
	t.Helper()
	registry := prometheus.NewRegistry()
	c, err := projection.NewCatchUp(f.views, postgres.NewPoisonStore(f.pool), slog.New(slog.DiscardHandler), registry)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	tick, deadline := time.NewTicker(5*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Error("it did not catch up")
			done = func() bool { return true }
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return registry
}

func (f *fixture) waiting(t *testing.T, queueID string) int {
	t.Helper()
	queue, err := f.views.QueueMonitor(t.Context(), queueID)
	if err != nil {
		return 0
	}
	return queue.TotalPatientsWaiting
}

func (f *fixture) checked(t *testing.T) (position int64) {
	t.Helper()
	if err := f.pool.QueryRow(t.Context(), "SELECT coalesce(max(checked_position), 0) FROM projection_checkpoints").Scan(&position); err != nil {
		t.Fatal(err)
	}
	return position
}

// Events that no message tells of are applied all the same, once.
func TestLostMessagesAreReadFromTheStore(t *testing.T) {
	f := newFixture(t)
	f.publish(t, f.store(t, "told")...)
	lost := f.store(t, "lost")
	f.store(t, "half")
	f.publish(t, f.store(t, "also-told")...)
	f.settle(t)
	young := f.store(t, "young")

	registry := f.catchUp(t, func() bool { return f.waiting(t, "lost") == 1 && f.waiting(t, "half") == 1 && f.checked(t) == 8 })
	for _, queue := range []string{"told", "lost", "half", "also-told"} {
		if n := f.waiting(t, queue); n != 1 {
			t.Errorf("%s shows %d patients", queue, n)
		}
	}
	if n := f.waiting(t, "young"); n != 0 {
		t.Error("an event was taken that its message may still be on the way for")
	}
	const want = `
# HELP projection_catch_up_events_total Events that projections were brought from the event store, since no message told them.
# TYPE projection_catch_up_events_total counter
projection_catch_up_events_total 4
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	f.publish(t, lost...) // late after all
	f.publish(t, young...)
	if f.waiting(t, "lost") != 1 || f.waiting(t, "young") != 1 {
		t.Errorf("lost shows %d, young %d patients", f.waiting(t, "lost"), f.waiting(t, "young"))
	}
}

// What a projection cannot apply is poisoned for it alone, and the check goes on.
func TestCatchingUpPoisonsWhatCannotBeApplied(t *testing.T) {
	f := newFixture(t)
	if _, err := f.pool.Exec(t.Context(), `ALTER TABLE next_turn_view ADD CHECK (queue_id <> 'bad')`); err != nil {
		t.Fatal(err)
	}
	bad := f.store(t, "bad")
	f.store(t, "good")
	f.settle(t)
	f.catchUp(t, func() bool { return f.checked(t) == 4 })
	if f.waiting(t, "bad") != 1 || f.waiting(t, "good") != 1 {
		t.Errorf("bad shows %d, good %d patients", f.waiting(t, "bad"), f.waiting(t, "good"))
	}
	want := []poisoned{{bad[1].UUID, "projection.next-turn", schema.Topic, "PatientCheckedIn"}}
	if diff := cmp.Diff(want, f.poisoned(t)); diff != "" {
		t.Errorf("poisoned messages differ (-want +got):\n%s", diff)
	}
}
