package postgres_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/schema"
	"github.com/rlapp/rlapp/waitingroom"
)

// sendTo collects the messages of a resend; the call after so many fails.
func sendTo(got *[]*message.Message, calls int) func(...*message.Message) error {
	return func(messages ...*message.Message) error {
		if calls--; calls < 0 {
			return errAway
		}
		*got = append(*got, messages...)
		return nil
	}
}

var errAway = errors.New("the broker is away")

// storeCheckIns stores check-ins of a queue, one a second from a moment on, each with
// another event.
func storeCheckIns(t *testing.T, pool *pgxpool.Pool, n int, from time.Time) {
	t.Helper()
	events := []waitingroom.Event{waitingroom.WaitingQueueCreated{QueueID: "queue-1", QueueName: "queue-1", MaxCapacity: 2 * n}}
	for i := range n {
		id := fmt.Sprint(i)
		events = append(events, waitingroom.PatientCheckedIn{QueueID: "queue-1", PatientID: id, PatientName: "John Doe", Priority: "High", CheckInTime: from},
			waitingroom.PatientCalledAtCashier{QueueID: "queue-1", PatientID: id})
	}
	if _, err := postgres.NewEventStore(pool, postgres.EventStoreConfig{}).Append(t.Context(), change(0, events, cause)); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `UPDATE waiting_room_events SET created_at = $1::timestamptz + (version / 2 - 1) * interval '1 second'`, from); err != nil {
		t.Fatal(err)
	}
}

// Of a kind of event and a time all are sent, in their order, and only those; what is
// broken off goes on where it was.
func TestResend(t *testing.T) {
	pool := newPool(t)
	store := postgres.NewEventStore(pool, postgres.EventStoreConfig{})
	const all = 1201 // three calls
	storeCheckIns(t, pool, all, tenOClock)
	order := postgres.Resend{
		Handler: "plugin.a.b", EventName: "PatientCheckedIn", Since: tenOClock.Add(10 * time.Second), Until: tenOClock.Add((all - 10) * time.Second),
	}
	const want = all - 20
	if n, err := store.CountResend(t.Context(), order); n != want || err != nil {
		t.Errorf("it counts %d, error %v; want %d", n, err, want)
	}

	var got []*message.Message
	who := postgres.Operator{Actor: "ada", Reason: "the queue was deleted"}
	sent, reached, err := store.Resend(t.Context(), order, who, sendTo(&got, 1))
	if !errors.Is(err, errAway) || sent != 500 || len(got) != 500 || !reached.Equal(tenOClock.Add(509*time.Second)) {
		t.Errorf("broken off, %d of %d are said to be sent until %s, error %v", sent, len(got), reached, err)
	}
	order.Since = reached
	if sent, reached, err = store.Resend(t.Context(), order, who, sendTo(&got, 10)); err != nil || sent != want-500+1 || reached != order.Until.Add(-time.Second).Local() {
		t.Errorf("then %d are sent until %s, error %v", sent, reached, err)
	}
	last := int64(0)
	for i, msg := range got {
		e, err := schema.DecodeMessage(msg.UUID, msg.Metadata, msg.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if m := e.Metadata; e.Event.EventName() != "PatientCheckedIn" || m.CorrelationID != "correlation-1" || !m.OccurredAt.Equal(tenOClock) || m.Version < last {
			t.Fatalf("message %d is %+v behind version %d", i, e, last)
		}
		last = e.Metadata.Version
	}
	rows, err := pool.Query(t.Context(), `SELECT actor || ' ' || action || ' ' || target || ' ' || reason || ' ' || affected FROM operator_actions ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	const target = "ada event.resend plugin.a.b, stored since %s until %s the queue was deleted %d"
	until := order.Until.UTC().Format(time.RFC3339Nano)
	if diff := cmp.Diff([]string{
		fmt.Sprintf(target, tenOClock.Add(10*time.Second).UTC().Format(time.RFC3339Nano), until, want),
		fmt.Sprintf(target, reached.UTC().Add(509*time.Second-(all-11)*time.Second).Format(time.RFC3339Nano), until, want-499),
	}, recorded); diff != "" {
		t.Errorf("the record differs (-want +got):\n%s", diff)
	}
}
