package outbox

import "testing"

// Without a backlog the outbox is left to autovacuum, however many rows are published.
func TestLessThanAChunkIsNotSwept(t *testing.T) {
	s := &Subscriber{config: Config{BatchSize: 100}, sweep: newSweep()}
	s.sweep.after = 50
	m := &marks{subscriber: s, ctx: t.Context()}
	for range 10 {
		if err := m.add(result{delivered: make([]*row, 99)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.sweep.due) > 0 {
		t.Error("it is to be vacuumed")
	}
}

// One vacuum that waits is enough.
func TestASweepComesAfterItsRows(t *testing.T) {
	w := newSweep()
	for range 3 {
		w.add(sweepAfter - 1)
		if len(w.due) > 0 {
			t.Error("it is to be vacuumed too early")
		}
		w.add(1)
		if len(w.due) != 1 {
			t.Error("it is not to be vacuumed")
		}
		w.add(sweepAfter) // nobody has taken the first yet
		<-w.due
	}
}
