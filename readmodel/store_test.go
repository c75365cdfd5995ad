package readmodel_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/waitingroom"
)

func TestADuplicateChangesNothing(t *testing.T) {
	f := newFixture(t)
	events := f.store(t, "queue-1", created("queue-1"), checkedIn("queue-1", "p", "High", 1))
	f.apply(t, events...)
	before := f.dump(t, "")
	for _, e := range events {
		applied, err := f.applyTo(t, readmodel.Monitor, e)
		if err != nil || applied != 0 {
			t.Errorf("a duplicate applied %d events, error %v", applied, err)
		}
	}
	f.apply(t, events...)
	if diff := cmp.Diff(before, f.dump(t, "")); diff != "" {
		t.Errorf("duplicates changed the views (-before +after):\n%s", diff)
	}
	checkpoint, err := f.views.CheckpointOf(t.Context(), "monitor")
	if err != nil {
		t.Fatal(err)
	}
	if checkpoint.EventsProcessed != 2 || checkpoint.LastPosition != events[1].Position || checkpoint.Behind != 0 || checkpoint.Age != 0 {
		t.Errorf("checkpoint is %+v", checkpoint)
	}
}

func TestAGapIsFilledFromTheEventStore(t *testing.T) {
	f := newFixture(t)
	events := f.store(t, "queue-1", created("queue-1"), checkedIn("queue-1", "a", "High", 1), checkedIn("queue-1", "b", "Low", 2))
	applied, err := f.applyTo(t, readmodel.Monitor, events[2])
	if err != nil || applied != 3 {
		t.Fatalf("applied %d events, error %v; want all 3", applied, err)
	}
	queue, err := f.views.QueueMonitor(t.Context(), "queue-1")
	if err != nil || queue.TotalPatientsWaiting != 2 {
		t.Errorf("%d patients wait, error %v; want 2", queue.TotalPatientsWaiting, err)
	}
}

func TestAnEventAheadOfTheStoreIsAGap(t *testing.T) {
	f := newFixture(t)
	event := f.store(t, "queue-1", created("queue-1"))[0]
	event.Metadata.Version = 5
	_, err := f.applyTo(t, readmodel.Monitor, event)
	var gap *readmodel.GapError
	if !errors.As(err, &gap) || gap.Have != 0 || gap.Want != 4 {
		t.Errorf("got %v, want a gap up to 4", err)
	}
}

// A random stream with duplicates and reorderings gives the read model of the
// ordered one.
func TestAnyDeliveryOrderGivesTheSameViews(t *testing.T) {
	f := newFixture(t)
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		ordered, shuffled := fmt.Sprintf("ordered-%d", run), fmt.Sprintf("shuffled-%d", run)
		steps := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 4).Draw(r, "steps")
		f.apply(t, f.store(t, ordered, history(ordered, steps)...)...)
		events := f.store(t, shuffled, history(shuffled, steps)...)
		deliveries := append(rapid.Permutation(events).Draw(r, "order"),
			rapid.SliceOfN(rapid.SampledFrom(events), 0, 4).Draw(r, "duplicates")...)
		f.apply(t, deliveries...)
		where := "WHERE queue_id = '%s'"
		if diff := cmp.Diff(f.dump(t, fmt.Sprintf(where, ordered)), f.dump(t, fmt.Sprintf(where, shuffled))); diff != "" {
			r.Fatalf("views differ (-ordered +shuffled):\n%s", diff)
		}
	})
}

// history is a sequence of events that a queue could have had.
func history(queueID string, steps []int) []waitingroom.Event {
	events := []waitingroom.Event{created(queueID)}
	for minute, step := range steps {
		p := fmt.Sprintf("p%d", minute)
		events = append(events, checkedIn(queueID, p, []string{"Low", "Medium", "High", "Urgent"}[step%4], minute))
		if step > 2 {
			events = append(events, waitingroom.PatientCalledAtCashier{QueueID: queueID, PatientID: p})
		}
		if step > 4 {
			events = append(events, waitingroom.PatientPaymentValidated{QueueID: queueID, PatientID: p},
				waitingroom.PatientClaimedForAttention{QueueID: queueID, PatientID: p, StationID: "r"})
		}
		if step > 6 {
			events = append(events, waitingroom.PatientCalled{QueueID: queueID, PatientID: p, StationID: "r"})
		}
		if step > 7 {
			events = append(events, waitingroom.PatientAttentionCompleted{QueueID: queueID, PatientID: p, PatientName: "n"})
		}
	}
	return events
}

func TestLagFollowsTheEvent(t *testing.T) {
	f := newFixture(t)
	event := f.store(t, "queue-1", created("queue-1"))[0]
	event.PublishedAt = tenOClock.Add(2050 * time.Millisecond)
	wantLag := func(status string, published bool) (outbox, projection, total *float64) {
		t.Helper()
		var gotStatus string
		var gotPublished bool
		err := f.pool.QueryRow(t.Context(), `
			SELECT status, event_published_at IS NOT NULL, outbox_dispatch_duration_ms, projection_processing_duration_ms, total_lag_ms
			FROM event_processing_lag WHERE event_id = $1`, event.Metadata.EventID).Scan(&gotStatus, &gotPublished, &outbox, &projection, &total)
		if err != nil {
			t.Fatal(err)
		}
		if gotStatus != status || gotPublished != published {
			t.Errorf("lag is %s, published %t; want %s, %t", gotStatus, gotPublished, status, published)
		}
		return outbox, projection, total
	}
	wantLag("CREATED", false)
	if _, err := f.applyTo(t, readmodel.Monitor, event); err != nil {
		t.Fatal(err)
	}
	outbox, projection, total := wantLag("PROCESSED", true)
	if *outbox != 2050 {
		t.Errorf("outbox dispatch took %v ms, want 2050", *outbox)
	}
	if *total != *outbox+*projection {
		t.Errorf("total lag %v is not %v + %v", *total, *outbox, *projection)
	}
	// The slowest projection tells the lag.
	if _, err := f.applyTo(t, readmodel.QueueState, event); err != nil {
		t.Fatal(err)
	}
	if _, later, _ := wantLag("PROCESSED", true); *later <= *projection {
		t.Errorf("a later projection left the duration at %v ms", *later)
	}
}

func TestOnlyTheHandlerThatFailedClearsTheFailure(t *testing.T) {
	f := newFixture(t)
	event := f.store(t, "queue-1", created("queue-1"))[0]
	status := func() (s string) {
		t.Helper()
		if err := f.pool.QueryRow(t.Context(), `SELECT status FROM event_processing_lag`).Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE event_processing_lag SET status = 'FAILED', failed_in = $1`,
		readmodel.NextTurn.HandlerName()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.applyTo(t, readmodel.Monitor, event); err != nil {
		t.Fatal(err)
	}
	if got := status(); got != "FAILED" {
		t.Errorf("another projection turned the lag to %s", got)
	}
	if _, err := f.applyTo(t, readmodel.NextTurn, event); err != nil {
		t.Fatal(err)
	}
	if got := status(); got != "PROCESSED" {
		t.Errorf("after the failed projection succeeded the lag is %s", got)
	}
}

func TestLagRollUp(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "queue-1", created("queue-1"), checkedIn("queue-1", "a", "Low", 0), checkedIn("queue-1", "b", "Low", 0))...)
	for range 2 { // again gives the same rows
		if err := f.views.RollUpLag(t.Context(), 10*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	var count, failed int64
	var average, highest float64
	err := f.pool.QueryRow(t.Context(), `
		SELECT event_count, failed_count, avg_lag_ms, max_lag_ms FROM event_lag_metrics WHERE event_name = 'PatientCheckedIn'`).
		Scan(&count, &failed, &average, &highest)
	if err != nil {
		t.Fatal(err)
	}
	if count != 2 || failed != 0 || average <= 0 || highest < average {
		t.Errorf("rolled up %d events, %d failed, average %v, maximum %v", count, failed, average, highest)
	}
	statistics, err := f.views.Lag(t.Context(), "PatientCheckedIn", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if len(statistics) != 1 || statistics[0].ProcessedCount != 2 || *statistics[0].MaxLagMs != highest {
		t.Errorf("statistics are %+v", statistics)
	}
}

// A row of the lag stays on its page when its event is processed, so that no index has to
// follow.
func TestLagRowsStayOnTheirPages(t *testing.T) {
	f := newFixture(t)
	events := []waitingroom.Event{created("queue")}
	for i := range 500 {
		events = append(events, checkedIn("queue", fmt.Sprintf("patient-%d", i), "High", i))
	}
	recorded := f.store(t, "queue", events...)
	pages := func() map[string]float64 {
		all := map[string]float64{}
		rows, err := f.pool.Query(t.Context(), "SELECT event_id::text, (ctid::text::point)[0] FROM event_processing_lag")
		if err != nil {
			t.Fatal(err)
		}
		var (
			id   string
			page float64
		)
		if _, err := pgx.ForEachRow(rows, []any{&id, &page}, func() error {
			all[id] = page
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := pages()
	if _, err := f.views.Apply(t.Context(), recorded); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, pages()); len(before) != len(events) || diff != "" {
		t.Errorf("pages (-before +after):\n%s", diff)
	}
}

func TestAnUnknownEventIDIsNoLag(t *testing.T) {
	f := newFixture(t)
	event := f.store(t, "queue-1", created("queue-1"))[0]
	event.Metadata.EventID = uuid.NewString()
	if _, err := f.applyTo(t, readmodel.History, event); err != nil {
		t.Errorf("an event without a lag row failed: %v", err)
	}
}

// A rehearsal tells what Apply would do, and does nothing.
func TestARehearsalChangesNothing(t *testing.T) {
	f := newFixture(t)
	events := f.store(t, "q", created("q"), checkedIn("q", "p", "Low", 0), checkedIn("q", "p2", "Low", 1))
	f.apply(t, events[0])
	before := f.dump(t, "")
	for _, p := range readmodel.Projections() {
		if err := f.views.Rehearse(t.Context(), p, events[2]); err != nil { // with the gap before it
			t.Errorf("%s: %v", p.ID, err)
		}
	}
	f.exec(t, "ALTER TABLE waiting_queue_members ADD CHECK (patient_id <> 'p2')")
	if err := f.views.Rehearse(t.Context(), readmodel.Monitor, events[2]); err == nil {
		t.Error("a row that is refused passed the rehearsal")
	}
	if diff := cmp.Diff(before, f.dump(t, "")); diff != "" {
		t.Errorf("the rehearsals changed the views:\n%s", diff)
	}
	if applied, err := f.applyTo(t, readmodel.History, events[2]); err != nil || applied != 2 {
		t.Errorf("afterwards it applied %d events, error %v", applied, err)
	}
}
