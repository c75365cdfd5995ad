package readmodel_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rlapp/rlapp/readmodel"
)

// A list tells everything about messages but their content, which the one that is asked
// for has.
func TestPoisonIsListedWithoutItsContent(t *testing.T) {
	f := newFixture(t)
	_, err := f.pool.Exec(t.Context(), `
		INSERT INTO poison_messages (id, message_id, handler, topic, event_name, aggregate_id, reason, payload, metadata,
			attempts, stack, failure_group, status, settled_at) VALUES
		(1, 'm-1', 'one', 't', 'PatientCalled', 'queue-1', 'no ink', '\x00ff', '{"version": "7"}', 6, 'goroutine 1', 'g-1', 'WAITING', NULL),
		(2, 'm-2', 'one', 't', 'PatientCalled', 'queue-2', 'no paper', '{}', '{}', 1, '', 'g-2', 'DISCARDED', now()),
		(3, 'm-3', 'two', 't', NULL, NULL, 'no ink', '', '{}', 1, '', 'g-2', 'WAITING', NULL)`)
	if err != nil {
		t.Fatal(err)
	}
	list := func(kind readmodel.PoisonKind, after int64, limit int) []readmodel.PoisonMessage {
		t.Helper()
		messages, err := f.views.PoisonMessages(t.Context(), kind, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		return messages
	}
	called, queue := "PatientCalled", "queue-1"
	first := readmodel.PoisonMessage{
		ID: 1, MessageID: "m-1", Handler: "one", EventName: &called, QueueID: &queue, Reason: "no ink", Attempts: 6, Group: "g-1", Status: "WAITING",
	}
	aboutNow := cmpopts.EquateApproxTime(time.Minute)
	first.CreatedAt = time.Now()
	if diff := cmp.Diff([]readmodel.PoisonMessage{first}, list(readmodel.PoisonKind{}, 0, 1), aboutNow); diff != "" {
		t.Errorf("the list differs (-want +got):\n%s", diff)
	}
	whole := readmodel.WholePoisonMessage{
		PoisonMessage: first, Stack: "goroutine 1", Payload: []byte{0, 0xff}, Metadata: map[string]string{"version": "7"},
	}
	if got, err := f.views.PoisonMessage(t.Context(), 1); err != nil || !cmp.Equal(whole, got, aboutNow) {
		t.Errorf("error %v; the message differs (-want +got):\n%s", err, cmp.Diff(whole, got, aboutNow))
	}
	var unknown *readmodel.NotFoundError
	if _, err := f.views.PoisonMessage(t.Context(), 4); !errors.As(err, &unknown) {
		t.Errorf("an unknown message: %v", err)
	}

	for name, tt := range map[string]struct {
		kind  readmodel.PoisonKind
		after int64
		want  []int64
	}{
		"all":                    {want: []int64{1, 2, 3}},
		"of a status":            {kind: readmodel.PoisonKind{Status: "WAITING"}, want: []int64{1, 3}},
		"of a handler":           {kind: readmodel.PoisonKind{Handler: "one"}, want: []int64{1, 2}},
		"of a group":             {kind: readmodel.PoisonKind{Group: "g-2"}, want: []int64{2, 3}},
		"of a handler's group":   {kind: readmodel.PoisonKind{Handler: "two", Group: "g-2"}, want: []int64{3}},
		"behind one":             {after: 1, want: []int64{2, 3}},
		"of a status behind one": {kind: readmodel.PoisonKind{Status: "WAITING"}, after: 1, want: []int64{3}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int64
			for _, m := range list(tt.kind, tt.after, 10) {
				got = append(got, m.ID)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ids differ (-want +got):\n%s", diff)
			}
		})
	}
}
