package readmodel_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// archiveAll archives all that is archivable, however young.
func (f fixture) archiveAll(t testing.TB) (events int64) {
	t.Helper()
	f.exec(t, "UPDATE waiting_room_events SET created_at = created_at - interval '100 days'")
	done, err := f.events.Archive(t.Context(), 90*24*time.Hour)
	if err != nil || done.Events == 0 {
		t.Fatalf("archived %+v, error %v", done, err)
	}
	return done.Events
}

// Everything that replays events reads the archived ones too.
func TestReplaysReadTheArchive(t *testing.T) {
	f := newFixture(t)
	var last []schema.Recorded
	for q := range 3 {
		queueID := fmt.Sprintf("q%d", q)
		events := f.store(t, queueID, history(queueID, []int{9, 9, 8, 9, 3})...)
		last = append(last, events[len(events)-1])
		f.apply(t, events...)
	}
	live := f.dump(t, "")
	all := map[string][]schema.Recorded{}
	read := func(queueID string) []schema.Recorded {
		t.Helper()
		events, err := f.views.EventsAfter(t.Context(), queueID, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for i := range events { // archiveAll changes it
			events[i].Metadata.OccurredAt = tenOClock
		}
		return events
	}
	for q := range 3 {
		all[fmt.Sprintf("q%d", q)] = read(fmt.Sprintf("q%d", q))
	}
	if n := f.archiveAll(t); n < 6 {
		t.Fatalf("only %d events were archived", n)
	}
	for queueID, want := range all {
		if diff := cmp.Diff(want, read(queueID)); diff != "" {
			t.Errorf("the events of %s differ (-before +archived):\n%s", queueID, diff)
		}
		page, err := f.views.EventsAfter(t.Context(), queueID, 1, 2)
		if err != nil || len(page) != 2 || page[0].Metadata.Version != 2 || page[1].Metadata.Version != 3 {
			t.Errorf("a page is %v, error %v", page, err)
		}
	}
	same := func(what string) {
		t.Helper()
		if diff := cmp.Diff(live, f.dump(t, "")); diff != "" {
			t.Errorf("after %s views differ (-live +replayed):\n%s", what, diff)
		}
	}
	for _, p := range readmodel.Projections() {
		f.rebuild(t, p)
	}
	same("a rebuild")
	for q := range 3 {
		if _, err := f.views.RebuildQueue(t.Context(), fmt.Sprintf("q%d", q)); err != nil {
			t.Fatal(err)
		}
	}
	same("a rebuild of each queue")
	for table := range views {
		f.exec(t, "TRUNCATE "+table)
	}
	f.exec(t, "TRUNCATE projection_queue_versions")
	f.apply(t, last...)
	same("gaps were filled")
}

// So does a rollback: the kept tables may lack events that were archived since.
func TestARollBackReadsTheArchive(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", history("q", []int{9, 9})...)...)
	f.rebuild(t, readmodel.Monitor)
	f.apply(t, f.store(t, "q", history("q", []int{9, 9, 8, 9, 3, 9, 9})[13:]...)...)
	live := f.dump(t, "")
	f.archiveAll(t)
	if err := f.views.RollBack(t.Context(), readmodel.Monitor, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(live, f.dump(t, "")); diff != "" {
		t.Errorf("views differ (-before +rolled back):\n%s", diff)
	}
}

// Where neither the store nor the archive has them, it leaves everything as it was.
func TestARollBackThatLacksEventsFails(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", history("q", []int{9, 9})...)...)
	f.rebuild(t, readmodel.Monitor)
	f.apply(t, f.store(t, "q", history("q", []int{9, 9, 8, 9, 3})[13:]...)...)
	live := f.dump(t, "")
	f.exec(t, "DELETE FROM waiting_room_events")
	var gap *readmodel.GapError
	if err := f.views.RollBack(t.Context(), readmodel.Monitor, nil); !errors.As(err, &gap) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff(live, f.dump(t, "")); diff != "" {
		t.Errorf("views differ (-before +after):\n%s", diff)
	}
}

// What archives waits for a rebuild, which reads the archive before the other events.
func TestNothingIsArchivedDuringARebuild(t *testing.T) {
	f := newFixture(t)
	f.apply(t, f.store(t, "q", history("q", []int{9, 9, 8})...)...)
	f.exec(t, "UPDATE waiting_room_events SET created_at = created_at - interval '100 days'")
	asked := false
	_, err := f.views.Rebuild(t.Context(), readmodel.Monitor, func(readmodel.Progress) {
		if asked {
			return
		}
		asked = true
		if done, err := f.events.Archive(t.Context(), time.Hour); err == nil || done.Events > 0 {
			t.Errorf("during a rebuild it archived %+v, error %v", done, err)
		}
	})
	if err != nil || !asked {
		t.Fatal(asked, err)
	}
	f.archiveAll(t)
}
