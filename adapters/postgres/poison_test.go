package postgres_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
)

// orderReplays stores messages 1 to n as an operator's order leaves them.
func orderReplays(t *testing.T, pool *pgxpool.Pool, n int) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `
		INSERT INTO poison_messages (message_id, handler, topic, reason, payload, metadata, failure_group, status)
		SELECT n::text, 'handler', 'topic', 'no paper', '', '{}', 'group', 'REPLAYING' FROM generate_series(1, $1::int) AS n`, n)
	if err != nil {
		t.Fatal(err)
	}
}

type replayRow struct{ Status, Reason string }

func replayRows(t *testing.T, pool *pgxpool.Pool) []replayRow {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT status, reason FROM poison_messages ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[replayRow])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A message that cannot be sent at all waits for a person again, who is told why, and
// holds up no other.
func TestAMessageThatCannotBeReplayedHoldsNobodyUp(t *testing.T) {
	pool := newPool(t)
	orderReplays(t, pool, 3)
	errGone := errors.New("there is no such handler")
	send := func(_ string, msg *message.Message) error {
		if msg.UUID == "1" {
			return errGone
		}
		return nil
	}
	store, gone := postgres.NewPoisonStore(pool), func(err error) bool { return errors.Is(err, errGone) }
	if sent, err := store.Replay(t.Context(), 10, send, gone); sent != 2 || !errors.Is(err, errGone) {
		t.Errorf("%d were sent, error %v", sent, err)
	}
	want := []replayRow{
		{"WAITING", "replay poisoned message 1: there is no such handler; it was given up for: no paper"}, {"REPLAYED", "no paper"}, {"REPLAYED", "no paper"},
	}
	if diff := cmp.Diff(want, replayRows(t, pool)); diff != "" {
		t.Errorf("after a replay (-want +got):\n%s", diff)
	}
	if _, err := pool.Exec(t.Context(), "UPDATE poison_messages SET status = 'REPLAYING' WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	if sent, err := store.Replay(t.Context(), 10, send, gone); sent != 0 || !errors.Is(err, errGone) {
		t.Errorf("ordered again, %d were sent, error %v", sent, err)
	}
	if diff := cmp.Diff(want, replayRows(t, pool)); diff != "" {
		t.Errorf("after another replay (-want +got):\n%s", diff)
	}
}

// An outage says nothing about a message: it is kept, and so are those behind it.
func TestAnOutageKeepsReplays(t *testing.T) {
	pool := newPool(t)
	orderReplays(t, pool, 3)
	errAway := errors.New("away")
	var asked []string
	sent, err := postgres.NewPoisonStore(pool).Replay(t.Context(), 10, func(_ string, msg *message.Message) error {
		if asked = append(asked, msg.UUID); len(asked) == 2 {
			return errAway
		}
		return nil
	}, func(error) bool { return false })
	if sent != 1 || !errors.Is(err, errAway) || strings.Join(asked, " ") != "1 2" {
		t.Errorf("%d were sent of %v, error %v", sent, asked, err)
	}
	want := []replayRow{{"REPLAYED", "no paper"}, {"REPLAYING", "no paper"}, {"REPLAYING", "no paper"}}
	if diff := cmp.Diff(want, replayRows(t, pool)); diff != "" {
		t.Errorf("after the outage (-want +got):\n%s", diff)
	}
}

// However many processes replay, they send no more than limit in a second.
func TestProcessesShareTheRateOfReplays(t *testing.T) {
	const limit, all = 2, 5
	pool := newPool(t)
	orderReplays(t, pool, all)
	var (
		mu    sync.Mutex
		at    []time.Time
		group sync.WaitGroup
	)
	send := func(string, *message.Message) error {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Now())
		return nil
	}
	sent := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(at)
	}
	for range 3 {
		group.Go(func() {
			for sent() < all && t.Context().Err() == nil {
				if _, err := postgres.NewPoisonStore(pool).Replay(t.Context(), limit, send, func(error) bool { return false }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	slices.SortFunc(at, time.Time.Compare)
	for i := limit; i < len(at); i++ {
		if gap := at[i].Sub(at[i-limit]); gap < time.Second {
			t.Errorf("message %d came %v after message %d", i+1, gap, i+1-limit)
		}
	}
}
