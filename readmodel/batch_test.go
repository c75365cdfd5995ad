package readmodel_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
	"github.com/rlapp/rlapp/waitingroom"
)

// step makes one event of a patient of a few, of whom some are here: a check-in only
// of who is not, as the domain has it, and anything else of anybody.
func step(r *rapid.T, queueID string, minute int, here map[string]bool) waitingroom.Event {
	p := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "patient")
	if !here[p] && rapid.IntRange(0, 3).Draw(r, "check-in") > 0 {
		here[p] = true
		return checkedIn(queueID, p, rapid.SampledFrom([]string{"Low", "Medium", "High", "Urgent"}).Draw(r, "priority"), minute)
	}
	end := func(e waitingroom.Event) waitingroom.Event { delete(here, p); return e }
	switch rapid.IntRange(0, 10).Draw(r, "step") {
	case 0:
		return waitingroom.PatientCalledAtCashier{QueueID: queueID, PatientID: p}
	case 1:
		return waitingroom.PatientPaymentValidated{QueueID: queueID, PatientID: p}
	case 2:
		return waitingroom.PatientPaymentPending{QueueID: queueID, PatientID: p}
	case 3:
		return waitingroom.PatientAbsentAtCashier{QueueID: queueID, PatientID: p}
	case 4:
		return waitingroom.PatientClaimedForAttention{QueueID: queueID, PatientID: p, StationID: fmt.Sprint("s", minute)}
	case 5:
		return waitingroom.PatientCalled{QueueID: queueID, PatientID: p, StationID: fmt.Sprint("s", minute)}
	case 6:
		return waitingroom.PatientAbsentAtConsultation{QueueID: queueID, PatientID: p}
	case 7:
		return end(waitingroom.PatientAttentionCompleted{QueueID: queueID, PatientID: p, PatientName: "n", Outcome: fmt.Sprint(minute)})
	case 8:
		return end(waitingroom.PatientCancelledByPayment{QueueID: queueID, PatientID: p})
	case 9:
		return end(waitingroom.PatientCancelledByAbsence{QueueID: queueID, PatientID: p})
	default:
		return waitingroom.ConsultingRoomActivated{QueueID: queueID, ConsultingRoomID: "r"}
	}
}

// Whatever the events are and wherever batches are cut, the views are those of one
// event after another.
func TestABatchEqualsItsEventsOneByOne(t *testing.T) {
	f := newFixture(t)
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		here := map[string]bool{}
		singly, batched := fmt.Sprintf("singly-%d", run), fmt.Sprintf("batched-%d", run)
		bySingly, byBatch := []waitingroom.Event{created(singly)}, []waitingroom.Event{created(batched)}
		for minute := range rapid.IntRange(1, 20).Draw(r, "events") {
			e := step(r, singly, minute, here)
			bySingly, byBatch = append(bySingly, e), append(byBatch, moved(e, batched))
		}
		f.apply(t, f.store(t, singly, bySingly...)...)
		events := f.store(t, batched, byBatch...)
		for len(events) > 0 {
			n := rapid.IntRange(1, len(events)).Draw(r, "cut")
			if _, err := f.views.Apply(t.Context(), rapid.Permutation(events[:n]).Draw(r, "order")); err != nil {
				r.Fatal(err)
			}
			events = events[n:]
		}
		where := "WHERE queue_id = '%s'"
		if diff := cmp.Diff(f.dump(t, fmt.Sprintf(where, singly)), f.dump(t, fmt.Sprintf(where, batched))); diff != "" {
			r.Fatalf("views differ (-singly +batched):\n%s", diff)
		}
	})
}

// moved is the same event of another queue.
func moved(e waitingroom.Event, queueID string) waitingroom.Event {
	switch e := e.(type) {
	case waitingroom.PatientCheckedIn:
		e.QueueID = queueID
		return e
	case waitingroom.PatientCalledAtCashier:
		e.QueueID = queueID
		return e
	case waitingroom.PatientPaymentValidated:
		e.QueueID = queueID
		return e
	case waitingroom.PatientPaymentPending:
		e.QueueID = queueID
		return e
	case waitingroom.PatientAbsentAtCashier:
		e.QueueID = queueID
		return e
	case waitingroom.PatientClaimedForAttention:
		e.QueueID = queueID
		return e
	case waitingroom.PatientCalled:
		e.QueueID = queueID
		return e
	case waitingroom.PatientAbsentAtConsultation:
		e.QueueID = queueID
		return e
	case waitingroom.PatientAttentionCompleted:
		e.QueueID = queueID
		return e
	case waitingroom.PatientCancelledByPayment:
		e.QueueID = queueID
		return e
	case waitingroom.PatientCancelledByAbsence:
		e.QueueID = queueID
		return e
	case waitingroom.ConsultingRoomActivated:
		e.QueueID = queueID
		return e
	}
	return e
}

// A batch is one transaction, over queues and projections.
func TestABatchIsOneTransaction(t *testing.T) {
	f := newFixture(t)
	var events []schema.Recorded
	for q := range 10 {
		id := fmt.Sprintf("q%d", q)
		events = append(events, f.store(t, id, created(id), checkedIn(id, "p", "Low", q))...)
	}
	applied, err := f.views.Apply(t.Context(), events)
	if err != nil || len(applied) != 5 || len(applied[3].Events) != 20 {
		t.Fatalf("applied %v, error %v", applied, err)
	}
	var transactions int
	err = f.pool.QueryRow(t.Context(), `SELECT count(DISTINCT x) FROM (SELECT xmin::text AS x FROM waiting_queue_view
		UNION ALL SELECT xmin::text FROM next_turn_view UNION ALL SELECT xmin::text FROM projection_queue_versions
		UNION ALL SELECT xmin::text FROM projection_checkpoints UNION ALL SELECT xmin::text FROM event_processing_lag) AS rows`).Scan(&transactions)
	if err != nil || transactions != 1 {
		t.Errorf("the rows are of %d transactions, error %v", transactions, err)
	}
}

// An event that one projection refuses fails there alone; so do the later ones of its
// queue, which need it. All others are applied.
func TestApplyEachFindsTheCulprit(t *testing.T) {
	f := newFixture(t)
	if _, err := f.pool.Exec(t.Context(), "ALTER TABLE next_turn_view ADD CHECK (patient_id <> 'bad')"); err != nil {
		t.Fatal(err)
	}
	var events []schema.Recorded
	for q := range 6 {
		id, patientID := fmt.Sprintf("q%d", q), "good"
		if q == 3 {
			patientID = "bad"
		}
		events = append(events, f.store(t, id, created(id), checkedIn(id, patientID, "Low", q), checkedIn(id, "later", "Low", q))...)
	}
	_, errs := f.views.ApplyEach(t.Context(), events)
	for i, err := range errs {
		var culprits []string
		for _, p := range readmodel.Culprits(err) {
			culprits = append(culprits, p.ID)
		}
		want := ""
		if events[i].Metadata.AggregateID == "q3" && events[i].Metadata.Version > 1 {
			want = "next-turn"
		}
		if got := strings.Join(culprits, " "); got != want || (err != nil) != (want != "") {
			t.Errorf("%s %d: culprits %q, want %q, error %v", events[i].Metadata.AggregateID, events[i].Metadata.Version, got, want, err)
		}
	}
	var turns, present int
	if err := f.pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM next_turn_view), (SELECT count(*) FROM waiting_patients_view)").Scan(&turns, &present); err != nil || turns != 10 || present != 12 {
		t.Errorf("%d turns and %d patients, error %v; want 10 and 12", turns, present, err)
	}
}
