package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/schema"
)

const triage = "plugin.triage.urgent"

// missing are the checkpoints of one handler of check-ins in a store of the test's own.
type missing struct {
	*postgres.PluginCheckpoints
	t    *testing.T
	pool *pgxpool.Pool
}

// newMissing has a store of some check-ins, at the positions 2, 4 and so on, that the
// outbox has told everybody of.
func newMissing(t *testing.T, checkIns int) *missing {
	t.Helper()
	m := &missing{t: t, pool: newPool(t)}
	m.PluginCheckpoints = postgres.NewPluginCheckpoints(m.pool)
	m.start()
	storeCheckIns(t, m.pool, checkIns, tenOClock)
	m.exec("UPDATE waiting_room_outbox SET published = true")
	return m
}

func (m *missing) start() {
	m.t.Helper()
	if err := m.Start(m.t.Context(), []string{triage}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *missing) exec(statement string, args ...any) {
	m.t.Helper()
	if _, err := m.pool.Exec(m.t.Context(), statement, args...); err != nil {
		m.t.Fatal(err)
	}
}

// ids are the ids of the events at some positions.
func (m *missing) ids(positions ...int64) (ids []string) {
	m.t.Helper()
	err := m.pool.QueryRow(m.t.Context(), "SELECT array_agg(event_id::text ORDER BY position) FROM waiting_room_events WHERE position = ANY($1)", positions).Scan(&ids)
	if err != nil {
		m.t.Fatal(err)
	}
	return ids
}

func (m *missing) mark(positions ...int64) {
	m.t.Helper()
	ids := m.ids(positions...)
	if err := m.Mark(m.t.Context(), slices.Repeat([]string{triage}, len(ids)), ids); err != nil {
		m.t.Fatal(err)
	}
}

// wants looks up to a position.
func (m *missing) wants(upTo, checked int64, positions ...int64) {
	m.t.Helper()
	missed, got, err := m.Missed(m.t.Context(), triage, "PatientCheckedIn", upTo)
	if err != nil {
		m.t.Fatal(err)
	}
	var ids []string
	for _, msg := range missed {
		ids = append(ids, msg.UUID)
	}
	if diff := cmp.Diff(m.ids(positions...), ids); diff != "" || got != checked {
		m.t.Errorf("up to %d it has checked %d, want %d; missed (-want +got):\n%s", upTo, got, checked, diff)
	}
}

// What a handler is not done with it has missed, but for what the outbox has yet to tell.
func TestWhatAHandlerMissesIsFound(t *testing.T) {
	m := newMissing(t, 6)
	m.mark(2, 6)
	m.wants(5, 3, 4)
	m.wants(13, 3, 4, 8, 10, 12)
	m.wants(9, 3, 4, 8)
	m.mark(4, 4, 8)
	m.wants(13, 9, 10, 12)

	m.exec("UPDATE waiting_room_outbox SET published = false WHERE event_id = $1", m.ids(10)[0])
	m.wants(13, 9, 12) // 10 is late
	m.mark(12, 10)
	m.wants(13, 13)
	var left int
	if err := m.pool.QueryRow(t.Context(), "SELECT count(*) FROM plugin_marks").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows of marks are left, error %v", left, err)
	}
	m.mark(4) // it came again
	m.wants(13, 13)
}

// What the outbox holds back, or a person has discarded, is not missed, and nothing waits for it.
func TestWhatIsLeftToTheOutboxIsNotMissed(t *testing.T) {
	for name, change := range map[string]string{
		"tried again": "next_attempt_at = now() + interval '1 hour', retry_count = 1, published = false",
		"parked":      "parked_at = now(), retry_count = 5, published = false",
		"discarded":   "discarded_at = now()",
	} {
		t.Run(name, func(t *testing.T) {
			m := newMissing(t, 3)
			m.exec("UPDATE waiting_room_outbox SET "+change+" WHERE event_id = $1", m.ids(2)[0])
			m.wants(7, 1, 4, 6)
			m.mark(4, 6)
			m.wants(7, 7)
		})
	}
	t.Run("behind one that is parked", func(t *testing.T) {
		m := newMissing(t, 3)
		m.exec("UPDATE waiting_room_outbox SET published = false")
		m.exec("UPDATE waiting_room_outbox SET parked_at = now() WHERE event_id = $1", m.ids(2)[0])
		m.wants(7, 1)
		m.wants(7, 7)
	})
}

// A queue that is held back keeps no other one's waiting events from waiting.
func TestAnotherQueueIsHeldBack(t *testing.T) {
	m := newMissing(t, 3)
	m.exec("INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload, parked_at) VALUES ('another', 'PatientCheckedIn', '{}', now())")
	m.exec("UPDATE waiting_room_outbox SET published = false WHERE event_id = $1", m.ids(4)[0])
	m.wants(7, 1, 2, 6)
	m.mark(2, 6)
	m.wants(7, 3)
	m.wants(7, 3)
	m.exec("DELETE FROM plugin_checkpoints")
	m.start()
	m.exec("UPDATE waiting_room_outbox SET published = true WHERE aggregate_id <> 'another'")
	m.wants(7, 3, 4, 6) // it starts before what waited
}

// However much the outbox holds back, a look reads it once.
func TestALargeBacklogIsReadOnce(t *testing.T) {
	m := newMissing(t, 500)
	m.exec("ANALYZE waiting_room_outbox")
	m.exec(`
		INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload, parked_at)
		SELECT 'held-' || n % 2000, 'PatientCheckedIn', '{}', CASE WHEN n <= 2000 THEN now() END FROM generate_series(1, 60000) AS n`)
	m.exec("INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload) SELECT 'waits-' || n, 'PatientCheckedIn', '{}' FROM generate_series(1, 15000) AS n")
	read := func() (rows int64) {
		t.Helper()
		m.exec("SELECT pg_stat_force_next_flush()")
		err := m.pool.QueryRow(t.Context(), "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'waiting_room_outbox'").Scan(&rows)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	before := read()
	m.wants(1001, 1, even(500)...)
	if n := read() - before; n < 76_000 || n > 400_000 {
		t.Errorf("with 76,000 rows in the outbox a look read %d", n)
	}
}

// A handler misses nothing of what was stored before it was there.
func TestANewHandlerStartsAtTheEnd(t *testing.T) {
	m := newMissing(t, 2)
	m.exec("DELETE FROM plugin_checkpoints")
	m.mark(2)
	var none *postgres.NoCheckpointError
	if _, _, err := m.Missed(t.Context(), triage, "PatientCheckedIn", 5); !errors.As(err, &none) || none.Handler != triage {
		t.Errorf("of a handler that nobody started the error is %v", err)
	}
	m.start()
	m.wants(5, 5)
	m.exec("INSERT INTO waiting_room_events (aggregate_id, event_name, payload) SELECT aggregate_id, event_name, payload FROM waiting_room_events WHERE position = 2")
	m.start()
	m.wants(6, 5, 6) // by hand, without a row of the outbox
	if err := m.Drop(t.Context(), []string{"plugin.another.one"}); err != nil {
		t.Fatal(err)
	}
	m.wants(6, 5, 6)
	if err := m.Drop(t.Context(), []string{triage}); err != nil {
		t.Fatal(err)
	}
	m.start()
	m.wants(6, 6)
}

// But it does not start behind what everybody is yet to be told of, unless that is held back.
func TestANewHandlerStartsBeforeWhatWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		change string
		want   int64
	}{
		"nothing waits":          {"", 11},
		"an event waits":         {"published = false WHERE event_id = $1", 5},
		"an event is held back":  {"published = false, parked_at = now() WHERE event_id = $1", 11},
		"all behind it are, too": {"published = false, parked_at = CASE event_id WHEN $1 THEN now() END", 11},
		"another one is put off": {"published = event_id <> $1, next_attempt_at = CASE event_id WHEN $1 THEN now() END", 11},
		"the whole outbox waits": {"published = false WHERE $1 <> gen_random_uuid()", 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMissing(t, 5)
			m.exec("DELETE FROM plugin_checkpoints")
			if tt.change != "" {
				m.exec("UPDATE waiting_room_outbox SET "+tt.change, m.ids(6)[0])
			}
			m.start()
			var checked int64
			if err := m.pool.QueryRow(t.Context(), "SELECT checked_position FROM plugin_checkpoints").Scan(&checked); err != nil || checked != tt.want {
				t.Errorf("it starts behind %d, error %v; want %d", checked, err, tt.want)
			}
		})
	}
}

// Where much is to be looked at, it is looked at in parts.
func TestLongWaysAreCheckedInParts(t *testing.T) {
	const checkIns = 6000
	m := newMissing(t, checkIns)
	m.wants(2*checkIns+1, 1, even(1000)...)
	m.mark(even(checkIns - 500)...)
	m.wants(2*checkIns+1, 10_001)
	m.wants(2*checkIns+1, 2*(checkIns-500)+1, even(checkIns)[checkIns-500:]...)
	if newest, err := m.Newest(t.Context()); newest != 2*checkIns+1 || err != nil {
		t.Errorf("the newest is %d, error %v", newest, err)
	}
}

func even(n int) (positions []int64) {
	for i := range n {
		positions = append(positions, int64(2*i+2))
	}
	return positions
}

// While the relay is far behind, nothing is said to be missed.
func TestNothingIsMissedWhileTheRelayIsFarBehind(t *testing.T) {
	m := newMissing(t, 2)
	m.exec(`INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload) SELECT 'another', 'PatientCheckedIn', '{}' FROM generate_series(1, 20000)`)
	m.wants(5, 1)
	m.exec("UPDATE waiting_room_outbox SET published = true WHERE id = (SELECT max(id) FROM waiting_room_outbox)")
	m.wants(5, 1, 2, 4)
	// Those that are held back do not count.
	m.exec("UPDATE waiting_room_outbox SET published = false WHERE aggregate_id = 'another'")
	m.exec("UPDATE waiting_room_outbox SET parked_at = now() WHERE id = (SELECT min(id) FROM waiting_room_outbox WHERE aggregate_id = 'another')")
	m.wants(5, 1, 2, 4)
}

// The message is the relay's, and says that it was missed. What nobody can read is sent,
// too: its handler says so.
func TestMissedEventsAreMessages(t *testing.T) {
	m := newMissing(t, 2)
	m.exec(`UPDATE waiting_room_events SET metadata = '{"schemaVersion": "x"}' WHERE position = 4`)
	missed, _, err := m.Missed(t.Context(), triage, "PatientCheckedIn", 5)
	if err != nil || len(missed) != 2 {
		t.Fatalf("missed: %v, error %v", missed, err)
	}
	e, err := schema.DecodeMessage(missed[0].UUID, missed[0].Metadata, missed[0].Payload)
	if err != nil || e.Metadata.CorrelationID != "correlation-1" || e.Metadata.Version != 2 || missed[0].Metadata.Get(schema.HeaderMissed) != "true" {
		t.Errorf("it is %+v, metadata %v, error %v", e, missed[0].Metadata, err)
	}
	if _, err := schema.DecodeMessage(missed[1].UUID, missed[1].Metadata, missed[1].Payload); !schema.Unreadable(err) {
		t.Errorf("of unusable metadata the error is %v", err)
	}
}

// A missed event is begun unless the handler is done with it, and how often that was is known
// until it is.
func TestBegin(t *testing.T) {
	m := newMissing(t, 3)
	m.mark(2, 6)
	m.wants(7, 3, 4) // 2 is behind the checkpoint, 6 is marked
	if err := m.Mark(t.Context(), []string{triage, triage, triage}, []string{"no id", "", "4bd1b6cb-8d3f-4a0a-bd0e-0e1a3b0f0e4a"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	again := false
	begin := func(name, handler, id string) {
		t.Helper()
		done, tries, err := m.Begin(t.Context(), handler, id, again)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(name, " ", done, " ", tries))
	}
	for _, position := range []int64{2, 4, 6, 4} {
		begin(fmt.Sprint(position), triage, m.ids(position)[0])
	}
	again = true
	begin("4 again", triage, m.ids(4)[0])
	again = false
	begin("another handler's", "plugin.another.one", m.ids(2)[0])
	begin("not stored", triage, "4bd1b6cb-8d3f-4a0a-bd0e-0e1a3b0f0e4a")
	if diff := cmp.Diff([]string{"2 true 0", "4 false 1", "6 true 0", "4 false 2", "4 again false 2", "another handler's false 0", "not stored false 0"}, got); diff != "" {
		t.Errorf("begun (-want +got):\n%s", diff)
	}
	if reached, err := m.Reached(t.Context(), triage); reached != 6 || err != nil {
		t.Errorf("it has reached %d, error %v", reached, err)
	}
	m.mark(4)
	m.wants(7, 7)
	var left int
	if err := m.pool.QueryRow(t.Context(), "SELECT count(*) FROM plugin_tries").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows of tries are left, error %v", left, err)
	}
}

// Several processes mark and look at once; what is marked before a look is not missed in it.
func TestProcessesMarkAndLookAtOnce(t *testing.T) {
	const checkIns, processes = 80, 4
	m := newMissing(t, checkIns)
	var group sync.WaitGroup
	for p := range processes {
		group.Go(func() {
			for i := p; i < checkIns; i += processes {
				m.mark(even(checkIns)[i])
				missed, checked, err := m.Missed(t.Context(), triage, "PatientCheckedIn", 2*checkIns+1)
				if err != nil {
					t.Error(err)
					return
				}
				own := m.ids(even(checkIns)[i])[0]
				if slices.ContainsFunc(missed, func(msg *message.Message) bool { return msg.UUID == own }) {
					t.Errorf("position %d was marked and is missed; all are checked up to %d", even(checkIns)[i], checked)
				}
			}
		})
	}
	group.Wait()
	m.wants(2*checkIns+1, 2*checkIns+1)
}

// BenchmarkMark marks events done, a thousand at a time, as a busy process does each
// second, and looks for missed ones among them.
func BenchmarkMark(b *testing.B) {
	const each, events = 1000, 300_000
	pool := open(b, postgrestest.Migrated(b))
	_, err := pool.Exec(b.Context(), `
		INSERT INTO waiting_room_events (aggregate_id, version, event_id, event_name, payload) -- ids rise as the API's do
		SELECT 'queue-' || n % 100, n, (lpad(to_hex(n), 8, '0') || right(gen_random_uuid()::text, 28))::uuid, 'PatientCheckedIn', '{"queueId": "q", "patientId": "p"}'
		FROM generate_series(1, $1::int) AS n`, events)
	if err != nil {
		b.Fatal(err)
	}
	rows, err := pool.Query(b.Context(), "SELECT event_id::text FROM waiting_room_events ORDER BY position")
	if err != nil {
		b.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.Fatal(err)
	}
	checkpoints, handlers := postgres.NewPluginCheckpoints(pool), slices.Repeat([]string{triage}, each)
	if _, err := pool.Exec(b.Context(), "INSERT INTO plugin_checkpoints VALUES ($1, 0)", triage); err != nil {
		b.Fatal(err)
	}
	marks := 0
	for b.Loop() {
		if marks += each; marks > events {
			b.StopTimer()
			if _, err := pool.Exec(b.Context(), "UPDATE plugin_checkpoints SET checked_position = 0"); err != nil {
				b.Fatal(err)
			}
			marks = each
			b.StartTimer()
		}
		if err := checkpoints.Mark(b.Context(), handlers, ids[marks-each:marks]); err != nil {
			b.Fatal(err)
		}
		if missed, checked, err := checkpoints.Missed(b.Context(), triage, "PatientCheckedIn", int64(marks)); err != nil || len(missed) > 0 || checked != int64(marks) {
			b.Fatal(missed, checked, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*each), "us/event")
}
