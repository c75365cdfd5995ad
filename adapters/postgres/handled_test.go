package postgres_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/adapters/postgres"
)

func TestAnEventIsHandledOnce(t *testing.T) {
	pool := newPool(t)
	handled := postgres.NewHandledEvents(pool)
	if _, err := pool.Exec(t.Context(), "CREATE TABLE bills (event_id UUID)"); err != nil {
		t.Fatal(err)
	}
	event := uuid.NewString()
	bill := func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "INSERT INTO bills VALUES ($1)", event)
		return err
	}
	fails := errors.New("no paper")
	err := handled.Once(t.Context(), "billing", event, func(tx pgx.Tx) error { return errors.Join(bill(tx), fails) })
	if !errors.Is(err, fails) {
		t.Fatal(err)
	}
	if err := handled.Rehearse(t.Context(), bill); err != nil {
		t.Fatal(err)
	}
	if err := handled.Rehearse(t.Context(), func(pgx.Tx) error { return fails }); !errors.Is(err, fails) {
		t.Errorf("a rehearsal that fails: %v", err)
	}
	count := func() (n int) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM bills").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 0 {
		t.Fatalf("a failure and a rehearsal left %d bills", n)
	}
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			if err := handled.Once(t.Context(), "billing", event, bill); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := count(); n != 1 {
		t.Errorf("handled at once by five, it left %d bills", n)
	}
	if err := handled.Once(t.Context(), "another handler", event, bill); err != nil || count() != 2 {
		t.Errorf("another handler: %d bills, error %v", count(), err)
	}
}
