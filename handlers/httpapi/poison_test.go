package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/handlers/httpapi"
	"github.com/rlapp/rlapp/handlers/poison"
	"github.com/rlapp/rlapp/schema"
)

// givenUp puts a call of a patient into the poison store as a message that waits, and
// returns its id.
func (f *fixture) givenUp(handler, group, patientID string) (id int64) {
	f.t.Helper()
	e := schema.PatientCalled{QueueID: "queue-1", PatientID: patientID}
	payload, err := schema.Encode(e)
	if err != nil {
		f.t.Fatal(err)
	}
	err = f.pool.QueryRow(f.t.Context(), `
		INSERT INTO poison_messages (message_id, handler, topic, event_name, reason, payload, metadata, failure_group, stack)
		VALUES ($1, $2, $3, $4, 'no paper', $5, $6, $7, 'goroutine 1') RETURNING id`,
		patientID, handler, schema.Topic, e.EventName(), payload, schema.Headers(e.EventName(), schema.Metadata{
			AggregateID: e.Aggregate(), Version: 1, OccurredAt: time.Now(), CorrelationID: "c-1", SchemaVersion: 1,
		}), group).Scan(&id)
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

// The list has no content, one message has it.
func TestPoisonIsShownWithItsContentOneByOne(t *testing.T) {
	f := newFixture(t)
	id := f.givenUp("plugin.team.prints", "g", "p")
	listed := f.get("/api/poison").json(t)["messages"].([]any)[0].(map[string]any)
	whole := f.get(fmt.Sprintf("/api/poison/%d", id)).json(t)
	payload, _ := whole["payload"].(map[string]any)
	headers, _ := whole["metadata"].(map[string]any)
	if payload["patientId"] != "p" || headers[schema.HeaderCorrelationID] != "c-1" || whole["stack"] != "goroutine 1" {
		t.Errorf("the message is %v", whole)
	}
	for _, field := range []string{"payload", "metadata", "stack"} {
		if _, there := listed[field]; there {
			t.Errorf("the list has the %s", field)
		}
		delete(whole, field)
	}
	if diff := cmp.Diff(whole, listed); diff != "" {
		t.Errorf("the list differs (-one +listed):\n%s", diff)
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE poison_messages SET payload = '\x00ff'`); err != nil {
		t.Fatal(err)
	}
	if binary := f.get(fmt.Sprintf("/api/poison/%d", id)).json(t); binary["payload"] != "AP8=" {
		t.Errorf("what is no JSON is shown as %v", binary["payload"])
	}
}

// However many are rehearsed, each has its own content, and they come oldest first.
func TestManyMessagesAreRehearsed(t *testing.T) {
	const all = 25
	var given []string
	f := newFixtureWith(t, httpapi.Config{Rehearsals: poison.Rehearsals{
		"plugin.team.bills": func(_ context.Context, e schema.Recorded) error {
			given = append(given, e.Event.(schema.PatientCalled).PatientID)
			if len(given)%5 == 0 {
				return errors.New("no paper")
			}
			return nil
		},
	}})
	var ids []int64
	var patients []string
	for n := range all {
		patients = append(patients, fmt.Sprintf("p-%d", n))
		ids = append(ids, f.givenUp("plugin.team.bills", fmt.Sprintf("g-%d", n%2), patients[n]))
	}
	ids = append(ids, f.givenUp("plugin.team.prints", "g-0", "printed"))
	for name, tt := range map[string]struct {
		body                   string
		ids                    []int64
		patients               []string // those whose messages a handler got
		succeed, fail, unknown int
	}{
		"as many as fit": {`{}`, ids, patients, 20, 5, 1},
		"the oldest":     {`{"limit":12}`, ids[:12], patients[:12], 10, 2, 0},
		"of a handler":   {`{"handler":"plugin.team.prints"}`, ids[all:], nil, 0, 0, 1},
		"of a group":     {`{"group":"g-1","limit":2}`, []int64{ids[1], ids[3]}, []string{"p-1", "p-3"}, 2, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			given = nil
			var got struct {
				WouldSucceed, WouldFail, NotRehearsable int
				Messages                                []struct{ ID int64 }
			}
			if err := json.Unmarshal([]byte(f.post("/api/poison/rehearse", tt.body).body), &got); err != nil {
				t.Fatal(err)
			}
			if got.WouldSucceed != tt.succeed || got.WouldFail != tt.fail || got.NotRehearsable != tt.unknown {
				t.Errorf("the outcome is %+v", got)
			}
			if diff := cmp.Diff(tt.patients, given); diff != "" {
				t.Errorf("what was rehearsed differs (-want +got):\n%s", diff)
			}
			var rehearsed []int64
			for _, m := range got.Messages {
				rehearsed = append(rehearsed, m.ID)
			}
			if diff := cmp.Diff(tt.ids, rehearsed); diff != "" {
				t.Errorf("the ids differ (-want +got):\n%s", diff)
			}
		})
	}
	if n := f.count("SELECT count(*) FROM poison_messages WHERE status = 'WAITING'"); n != all+1 {
		t.Errorf("%d messages wait after the rehearsals", n)
	}
}

// Messages are read one after another, so that the content of all need not fit into
// memory: what somebody settles meanwhile is left out.
func TestWhatIsSettledMeanwhileIsNotRehearsed(t *testing.T) {
	var f *fixture
	var given []string
	f = newFixtureWith(t, httpapi.Config{Rehearsals: poison.Rehearsals{
		"plugin.team.bills": func(ctx context.Context, e schema.Recorded) error {
			given = append(given, e.Metadata.EventID)
			_, discarded := f.pool.Exec(ctx, "UPDATE poison_messages SET status = 'DISCARDED' WHERE message_id = 'discarded'")
			_, pruned := f.pool.Exec(ctx, "DELETE FROM poison_messages WHERE message_id = 'pruned'")
			return errors.Join(discarded, pruned)
		},
	}})
	for _, message := range []string{"first", "discarded", "pruned", "last"} {
		f.givenUp("plugin.team.bills", "g", message)
	}
	got := f.post("/api/poison/rehearse", `{}`)
	if answer := got.json(t); got.status != http.StatusOK || answer["wouldSucceed"] != 2.0 || len(answer["messages"].([]any)) != 2 {
		t.Errorf("the answer is %v", got)
	}
	if diff := cmp.Diff([]string{"first", "last"}, given); diff != "" {
		t.Errorf("what was rehearsed differs (-want +got):\n%s", diff)
	}
}
