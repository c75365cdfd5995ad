package projection_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/handlers/catchup"
	"github.com/rlapp/rlapp/handlers/projection"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// catchUp is a CatchUp with a clock that the test moves.
type catchUp struct {
	*projection.CatchUp
	t        *testing.T
	now      time.Time
	registry *prometheus.Registry
}

func (f *fixture) catchUp(t *testing.T) *catchUp {
	t.Helper()
	c := &catchUp{t: t, now: time.Now(), registry: prometheus.NewRegistry()}
	var err error
	c.CatchUp, err = projection.NewCatchUp(f.views, postgres.NewPoisonStore(f.pool), slog.New(slog.DiscardHandler), c.registry)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// look lets some time pass and looks at the store. It returns the pause until the next look.
func (c *catchUp) look(after time.Duration) time.Duration {
	c.t.Helper()
	c.now = c.now.Add(after)
	c.At(c.now)
	pause, err := c.Once(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return pause
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
	c := f.catchUp(t)
	c.look(0)
	young := f.store(t, "young")
	c.look(catchup.SettledAfter)
	if position := f.checked(t); position != 8 {
		t.Errorf("position %d was noted, want 8", position)
	}
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
	if err := testutil.GatherAndCompare(c.registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	f.publish(t, lost...) // late after all
	f.publish(t, young...)
	if f.waiting(t, "lost") != 1 || f.waiting(t, "young") != 1 {
		t.Errorf("lost shows %d, young %d patients", f.waiting(t, "lost"), f.waiting(t, "young"))
	}
}

// So it is while other events keep coming, and one look takes longer than the others.
func TestLostMessagesAreReadInTimeAfterASlowLook(t *testing.T) {
	f := newFixture(t)
	c := f.catchUp(t)
	f.store(t, "before")
	pause := c.look(0)
	f.store(t, "lost")
	took := pause + 5*time.Millisecond
	pause = c.look(took)
	for f.waiting(t, "lost") == 0 && took < time.Hour {
		took += pause
		pause = c.look(pause)
	}
	if took > catchup.Within {
		t.Errorf("it took %v", took)
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
	c := f.catchUp(t)
	c.look(0)
	c.look(catchup.SettledAfter)
	if position := f.checked(t); position != 4 {
		t.Errorf("position %d was noted, want 4", position)
	}
	if f.waiting(t, "bad") != 1 || f.waiting(t, "good") != 1 {
		t.Errorf("bad shows %d, good %d patients", f.waiting(t, "bad"), f.waiting(t, "good"))
	}
	want := []poisoned{{bad[1].UUID, "projection.next-turn", schema.Topic, "PatientCheckedIn"}}
	if diff := cmp.Diff(want, f.poisoned(t)); diff != "" {
		t.Errorf("poisoned messages differ (-want +got):\n%s", diff)
	}
}

// An event that this build cannot read is poisoned for all projections, what came before
// it in its queue is applied, and so are the other queues' events.
func TestCatchingUpPoisonsWhatCannotBeRead(t *testing.T) {
	for name, spoil := range map[string]string{
		"unknown event":    `UPDATE waiting_room_events SET event_name = 'Unheard' WHERE aggregate_id = 'bad' AND version = 3`,
		"unknown version":  `UPDATE waiting_room_events SET metadata = metadata || '{"schemaVersion": 99}' WHERE aggregate_id = 'bad' AND version = 3`,
		"unusable payload": `UPDATE waiting_room_events SET payload = '[]' WHERE aggregate_id = 'bad' AND version = 3`,
		"unusable metadata, and one before it": `UPDATE waiting_room_events SET metadata = '{"schemaVersion": "x"}'
			WHERE aggregate_id = 'bad' AND version > 2`,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.store(t, "bad")
			_, err := f.pool.Exec(t.Context(), `
				INSERT INTO waiting_room_events (aggregate_id, version, event_name, payload, metadata)
				SELECT aggregate_id, version + n, event_name, jsonb_set(payload, '{patientId}', '"another"'), metadata
				FROM waiting_room_events, generate_series(1, 2) AS n WHERE aggregate_id = 'bad' AND version = 2 AND (n = 1 OR $1) ORDER BY n`,
				strings.Contains(name, "before"))
			if err != nil {
				t.Fatal(err)
			}
			f.store(t, "good")
			if _, err := f.pool.Exec(t.Context(), spoil); err != nil {
				t.Fatal(err)
			}
			c := f.catchUp(t)
			c.look(0)
			c.look(catchup.SettledAfter)
			if f.waiting(t, "bad") != 1 || f.waiting(t, "good") != 1 {
				t.Errorf("bad shows %d, good %d patients", f.waiting(t, "bad"), f.waiting(t, "good"))
			}
			poisoned := f.poisoned(t)
			if len(poisoned) != len(readmodel.Projections()) || poisoned[0].Topic != schema.Topic {
				t.Errorf("poisoned: %v", poisoned)
			}
			c.look(time.Minute)
			if again := f.poisoned(t); len(again) != len(poisoned) {
				t.Errorf("after another look poisoned: %v", again)
			}
		})
	}
}

// What is lost is made up for within catchup.Within, and its neighbours with it, whatever the
// clock said when it was stored.
func TestLostMessagesAreReadInTimeWhateverTheClockSays(t *testing.T) {
	f := newFixture(t)
	f.publish(t, f.store(t, "told")...)
	c := f.catchUp(t)
	c.look(0)
	pause := c.look(time.Minute) // nothing happens for a while
	f.store(t, "lost")
	if _, err := f.pool.Exec(t.Context(), "UPDATE waiting_room_events SET created_at = now() + interval '1 hour' WHERE aggregate_id = 'lost'"); err != nil {
		t.Fatal(err)
	}
	f.store(t, "also-lost")
	took := time.Duration(0)
	for f.waiting(t, "lost") == 0 && took < time.Hour {
		took += pause
		pause = c.look(pause)
	}
	if f.waiting(t, "also-lost") != 1 || took > catchup.Within {
		t.Errorf("it took %v; also-lost shows %d patients", took, f.waiting(t, "also-lost"))
	}
}
