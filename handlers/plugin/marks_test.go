package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/schema"
)

// markStore keeps marks in memory, and fails while it is told to.
type markStore struct {
	mu    sync.Mutex
	fails error
	kept  []string
	tries map[string]int
	// stores is called while marks are being stored.
	stores func(ctx context.Context) error
}

func (s *markStore) Mark(ctx context.Context, handlers, eventIDs []string) error {
	if s.stores != nil {
		if err := s.stores(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return s.fails
	}
	for i, handler := range handlers {
		s.kept = append(s.kept, handler+" "+eventIDs[i])
	}
	return nil
}

func (s *markStore) Begin(_ context.Context, handler, eventID string, again bool) (done bool, tries int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil || slices.Contains(s.kept, handler+" "+eventID) {
		return s.fails == nil, 0, s.fails
	}
	if s.tries == nil {
		s.tries = map[string]int{}
	}
	if !again {
		s.tries[handler]++
	}
	return false, s.tries[handler], nil
}

func (s *markStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

func (s *markStore) marks() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.kept)
}

var errAway = errors.New("the database is away")

// runMarks runs marks until the returned function ends them.
func runMarks(t *testing.T, store plugin.MarkStore) (marks *plugin.Marks, end func()) {
	t.Helper()
	marks = plugin.NewMarks(store, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- marks.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	return marks, end
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline, every := time.After(30*time.Second), time.NewTicker(5*time.Millisecond)
	defer every.Stop()
	for err := check(); err != nil; err = check() {
		select {
		case <-every.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

func note(t *testing.T, marks *plugin.Marks, eventID string) {
	t.Helper()
	if err := marks.Note(t.Context(), "h", eventID); err != nil {
		t.Fatal(err)
	}
}

// Marks are stored now and then and at the end, each once, also where the store was away.
func TestMarksAreStored(t *testing.T) {
	store := &markStore{}
	marks, end := runMarks(t, store)
	note(t, marks, "1")
	eventually(t, func() error {
		if len(store.marks()) == 0 {
			return errors.New("the first mark is not stored")
		}
		return nil
	})
	store.fail(errAway)
	note(t, marks, "2")
	if err := marks.Flush(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("the error is %v", err)
	}
	note(t, marks, "3")
	store.fail(nil)
	end()
	if diff := cmp.Diff([]string{"h 1", "h 2", "h 3"}, store.marks()); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
}

// What is noted while a stop breaks off the storing of earlier marks is stored, too.
func TestAStopLosesNoMarks(t *testing.T) {
	store, storing := &markStore{}, make(chan struct{})
	first := true
	store.stores = func(ctx context.Context) error {
		if !first {
			return nil
		}
		first = false
		close(storing)
		<-ctx.Done()
		return ctx.Err()
	}
	marks, end := runMarks(t, store)
	note(t, marks, "1")
	<-storing
	note(t, marks, "2")
	end()
	if diff := cmp.Diff([]string{"h 1", "h 2"}, store.marks()); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
}

// While no mark can be stored, handlers wait instead of filling the memory.
func TestMarksAreBounded(t *testing.T) {
	store := &markStore{fails: errAway}
	marks := plugin.NewMarks(store, slog.New(slog.DiscardHandler))
	for i := range plugin.MaxUnstored {
		note(t, marks, fmt.Sprint(i))
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := marks.Note(gone, "h", "one more"); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	store.fail(nil)
	if err := marks.Flush(t.Context()); err != nil || len(store.marks()) != plugin.MaxUnstored {
		t.Errorf("%d marks are stored, error %v", len(store.marks()), err)
	}
	note(t, marks, "one more")
}

// What a handler handled or gave up is done, and what comes again is not.
func TestWhatHandlersAreDoneWithIsMarked(t *testing.T) {
	store := &markStore{}
	marks, end := runMarks(t, store)
	calls := 0
	f := start(t, plugin.Config{Marks: marks}, plugin.Plugin{Name: "desk", Handlers: []plugin.Handler{
		plugin.On("handles", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error { return nil }),
		plugin.On("fails", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error { return errors.New("no") }),
		plugin.On("comes-again", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error {
			if calls++; calls <= 5 {
				return context.Canceled
			}
			return nil
		}),
	}})
	m := f.message(t, schema.PatientCheckedIn{QueueID: "q", PatientID: "p"})
	f.publish(t, m)
	end()
	got := store.marks()
	slices.Sort(got)
	want := []string{"plugin.desk.comes-again " + m.UUID, "plugin.desk.fails " + m.UUID, "plugin.desk.handles " + m.UUID}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"plugin.desk.fails"}, f.given.handlers); diff != "" {
		t.Errorf("given up (-want +got):\n%s", diff)
	}
}

// An event that is said to be missed is left where its handler is done with it, and set
// aside where it never comes to an end. What was not missed is handled in any case.
func TestMissedEventsAreHandledOnce(t *testing.T) {
	const handler = "plugin.desk.check-ins"
	for name, tt := range map[string]struct {
		missed, done     bool
		begun            int
		handled, givenUp int
	}{
		"missed":                        {missed: true, handled: 1},
		"missed, and done":              {missed: true, done: true},
		"missed, and broken off":        {missed: true, begun: 9, handled: 1},
		"missed, and broken off often":  {missed: true, begun: 10, givenUp: 1},
		"sent by an operator":           {done: true, handled: 1},
		"in its time, broken off often": {begun: 50, handled: 1},
	} {
		t.Run(name, func(t *testing.T) {
			store := &markStore{tries: map[string]int{handler: tt.begun}}
			marks, _ := runMarks(t, store)
			handled := 0
			f := start(t, plugin.Config{Marks: marks}, plugin.Plugin{Name: "desk", Handlers: []plugin.Handler{
				plugin.On("check-ins", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error { handled++; return nil }),
			}})
			m := f.message(t, schema.PatientCheckedIn{QueueID: "q", PatientID: "p"})
			if tt.missed {
				m.Metadata.Set(schema.HeaderMissed, "true")
			}
			if tt.done {
				store.kept = []string{handler + " " + m.UUID}
			}
			f.publish(t, m)
			if handled != tt.handled || len(f.given.handlers) != tt.givenUp {
				t.Errorf("it was handled %d times and given up %d times", handled, len(f.given.handlers))
			}
			for _, msg := range f.given.messages {
				if msg.Metadata.Get(schema.HeaderMissed) != "" {
					t.Error("a replay would be left")
				}
			}
		})
	}
	t.Run("done, and not stored", func(t *testing.T) {
		store := &markStore{fails: errAway}
		marks, _ := runMarks(t, store)
		handled := 0
		f := start(t, plugin.Config{Marks: marks}, plugin.Plugin{Name: "desk", Handlers: []plugin.Handler{
			plugin.On("check-ins", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error { handled++; return nil }),
		}})
		m := f.message(t, schema.PatientCheckedIn{QueueID: "q", PatientID: "p"})
		again := m.Copy()
		f.publish(t, m)
		again.Metadata.Set(schema.HeaderMissed, "true")
		f.publish(t, again)
		if handled != 1 {
			t.Errorf("it was handled %d times", handled)
		}
	})
	t.Run("missed, and tried again by the same process", func(t *testing.T) {
		store := &markStore{}
		marks, _ := runMarks(t, store)
		calls := 0
		f := start(t, plugin.Config{Marks: marks}, plugin.Plugin{Name: "desk", Handlers: []plugin.Handler{
			plugin.On("check-ins", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error {
				if calls++; calls <= 50 {
					return context.Canceled
				}
				return nil
			}),
		}})
		m := f.message(t, schema.PatientCheckedIn{QueueID: "q", PatientID: "p"})
		again := m.Copy()
		m.Metadata.Set(schema.HeaderMissed, "true")
		again.Metadata.Set(schema.HeaderMissed, "true")
		f.publish(t, m)
		f.publish(t, again)
		if calls != 51 || store.tries[handler] != 1 || len(f.given.handlers) > 0 {
			t.Errorf("it was called %d times, begun %d times, and given up: %v", calls, store.tries[handler], f.given.handlers)
		}
	})
	t.Run("missed, tried again, and done by another process meanwhile", func(t *testing.T) {
		store := &markStore{}
		marks, _ := runMarks(t, store)
		calls := 0
		f := start(t, plugin.Config{Marks: marks}, plugin.Plugin{Name: "desk", Handlers: []plugin.Handler{
			plugin.On("check-ins", func(_ context.Context, _ schema.PatientCheckedIn, m schema.Metadata) error {
				calls++
				store.mu.Lock()
				defer store.mu.Unlock()
				store.kept = []string{handler + " " + m.EventID}
				return context.Canceled
			}),
		}})
		m := f.message(t, schema.PatientCheckedIn{QueueID: "q", PatientID: "p"})
		m.Metadata.Set(schema.HeaderMissed, "true")
		f.publish(t, m)
		if calls != 3 { // with its retries
			t.Errorf("it was called %d times", calls)
		}
	})
	t.Run("missed, broken off often, and nowhere to set it aside", func(t *testing.T) {
		marks, _ := runMarks(t, &markStore{tries: map[string]int{handler: 10}})
		handled := 0
		f := start(t, plugin.Config{Marks: marks}, plugin.Plugin{Name: "desk", Handlers: []plugin.Handler{
			plugin.On("check-ins", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error { handled++; return nil }),
		}})
		f.given.fails = 3
		m := f.message(t, schema.PatientCheckedIn{QueueID: "q", PatientID: "p"})
		m.Metadata.Set(schema.HeaderMissed, "true")
		f.publish(t, m)
		if handled != 0 || len(f.given.handlers) != 1 {
			t.Errorf("it was handled %d times and given up %d times", handled, len(f.given.handlers))
		}
	})
	t.Run("and nobody knows whether it is done", func(t *testing.T) {
		store := &markStore{fails: errAway}
		marks, _ := runMarks(t, store)
		handled := make(chan struct{}, 1)
		f := start(t, plugin.Config{Marks: marks}, plugin.Plugin{Name: "desk", Handlers: []plugin.Handler{
			plugin.On("check-ins", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error {
				handled <- struct{}{}
				return nil
			}),
		}})
		m := f.message(t, schema.PatientCheckedIn{QueueID: "q", PatientID: "p"})
		m.Metadata.Set(schema.HeaderMissed, "true")
		published := make(chan struct{})
		go func() { defer close(published); f.publish(t, m) }()
		select {
		case <-handled:
			t.Error("it was handled although it may have been")
		case <-time.After(50 * time.Millisecond): // it comes again and again
		}
		store.fail(nil)
		<-handled
		<-published
		if len(f.given.handlers) > 0 {
			t.Errorf("given up: %v", f.given.handlers)
		}
	})
}
