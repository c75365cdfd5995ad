package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/app/server"
	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/schema"
)

func (r *running) post(path, body string) (int, string) {
	r.t.Helper()
	response, err := http.Post(r.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// What a handler gave up is kept with the reason, by groups, and an operator has it
// handed to that handler again, and to no other.
func TestPoisonIsReplayedToItsHandlerAlone(t *testing.T) {
	for name, env := range map[string][]string{"in process": nil, "over RabbitMQ": broker(t)} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			broken.Store(true)
			var fine atomic.Int64
			healed := make(chan string, 10)
			r := start(t, server.RoleAll, load(t, env...), plugin.Plugin{Name: "test-team", Handlers: []plugin.Handler{
				plugin.On("breaks", func(_ context.Context, e schema.PatientCheckedIn, _ schema.Metadata) error {
					if broken.Load() {
						if e.PatientID == "panics" {
							panic("out of paper")
						}
						return fmt.Errorf("printer 4711 is out of paper for %q", e.PatientID)
					}
					healed <- e.PatientID
					return nil
				}),
				plugin.On("works", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error {
					fine.Add(1)
					return nil
				}),
			}})
			for _, patient := range []string{"a", "b", "panics"} {
				r.checkIn(patient)
			}
			r.eventually("/api/poison?status=WAITING", `"id":3`)
			r.eventually("/metrics", `poison_waiting_count{handler="plugin.test-team.breaks"} 3`)
			var groups struct {
				Groups []struct {
					Group, Handler, Reason string
					Waiting                int
				}
			}
			_, body := r.get("/api/poison/groups")
			if err := json.Unmarshal([]byte(body), &groups); err != nil {
				t.Fatal(err)
			}
			if len(groups.Groups) != 2 || groups.Groups[0].Waiting != 2 || groups.Groups[0].Handler != "plugin.test-team.breaks" {
				t.Fatalf("groups: %s", body)
			}
			if reason := groups.Groups[1].Reason; !strings.Contains(reason, "out of paper") || strings.Contains(reason, "goroutine") {
				t.Errorf("the panic's reason is %q", reason)
			}
			if _, one := r.get("/api/poison/3"); !strings.Contains(one, `"attempts":6`) || !strings.Contains(one, "replay_test.go") ||
				!strings.Contains(one, `"patientId":"panics"`) {
				t.Errorf("the message is %s", one)
			}

			broken.Store(false)
			order := fmt.Sprintf(`{"actor":"ada","reason":"new paper","group":%q}`, groups.Groups[0].Group)
			for _, want := range []string{`"changed":2`, `"changed":0`} { // asked twice it is done once
				if status, answer := r.post("/api/poison/replay", order); status != http.StatusOK || !strings.Contains(answer, want) {
					t.Errorf("%d: %s", status, answer)
				}
			}
			got := map[string]int{}
			for range 2 {
				select {
				case patient := <-healed:
					got[patient]++
				case <-time.After(patience):
					t.Fatalf("not replayed within %v: %v", patience, got)
				}
			}
			if got["a"] != 1 || got["b"] != 1 {
				t.Errorf("replayed: %v", got)
			}
			r.eventually("/api/poison?status=REPLAYED", `"id":2`)
			if n := fine.Load(); n != 3 {
				t.Errorf("the other handler got %d events, want 3", n)
			}
			if status, answer := r.post("/api/poison/1/replay", `{"actor":"ada"}`); status != http.StatusConflict {
				t.Errorf("%d: %s", status, answer)
			}
			if status, answer := r.post("/api/poison/3/discard", `{"actor":"ada","reason":"no receipt needed"}`); status != http.StatusOK {
				t.Errorf("%d: %s", status, answer)
			}
			if _, body := r.get("/api/poison/groups"); body != `{"groups":[]}`+"\n" {
				t.Errorf("groups: %s", body)
			}
			if _, metrics := r.get("/metrics"); strings.Contains(metrics, "poison_waiting_count{") {
				t.Error("messages are said to wait that were dealt with")
			}
		})
	}
}

// What a handler gave up that is gone since waits for a person again, with the reason.
func TestPoisonOfAHandlerThatIsGoneWaitsAgain(t *testing.T) {
	for name, env := range map[string][]string{"in process": nil, "over RabbitMQ": broker(t)} {
		t.Run(name, func(t *testing.T) {
			c := load(t, env...)
			r := start(t, server.RoleAll, c)
			_, err := newPool(t, c).Exec(t.Context(), `
				INSERT INTO poison_messages (message_id, handler, topic, reason, payload, metadata, failure_group)
				VALUES ('1', 'plugin.test-team.gone', 'waiting_room_events', 'no', '', '{}', 'g')`)
			if err != nil {
				t.Fatal(err)
			}
			if status, answer := r.post("/api/poison/1/replay", `{"actor":"ada"}`); status != http.StatusOK {
				t.Fatalf("%d: %s", status, answer)
			}
			r.eventually("/api/poison?status=WAITING", `this build has no handler`)
		})
	}
}

// One that fails again waits again, with the tries of both times.
func TestPoisonThatFailsAgainWaitsAgain(t *testing.T) {
	r := start(t, server.RoleAll, load(t), plugin.Plugin{Name: "test-team", Handlers: []plugin.Handler{
		plugin.On("breaks", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error { return errors.New("no") }),
	}})
	r.checkIn("a")
	r.eventually("/api/poison", `"attempts":6`)
	if status, answer := r.post("/api/poison/1/replay", `{"actor":"ada"}`); status != http.StatusOK {
		t.Fatalf("%d: %s", status, answer)
	}
	r.eventually("/api/poison?status=WAITING", `"attempts":12`)
}

// What an operator orders at once is handed out at the configured rate: of so many
// messages and one more, the last one comes a second after the first, or later.
func TestReplaysKeepToTheirRate(t *testing.T) {
	const perSecond, all = 2, 5
	var broken atomic.Bool
	broken.Store(true)
	c := load(t, fmt.Sprintf("Projections__ReplaysPerSecond=%d", perSecond))
	r := start(t, server.RoleAll, c, plugin.Plugin{Name: "test-team", Handlers: []plugin.Handler{
		plugin.On("breaks", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error {
			if broken.Load() {
				return errors.New("no")
			}
			return nil
		}),
	}})
	for n := range all {
		r.checkIn(fmt.Sprintf("p-%d", n))
	}
	r.eventually("/metrics", fmt.Sprintf(`poison_waiting_count{handler="plugin.test-team.breaks"} %d`, all))
	broken.Store(false)
	if status, answer := r.post("/api/poison/replay", `{"actor":"ada"}`); status != http.StatusOK || !strings.Contains(answer, fmt.Sprintf(`"changed":%d`, all)) {
		t.Fatalf("%d: %s", status, answer)
	}
	pool := newPool(t, c)
	waitFor(t, func() bool {
		var n int
		err := pool.QueryRow(t.Context(), "SELECT count(*) FROM poison_messages WHERE status = 'REPLAYED'").Scan(&n)
		return err == nil && n == all
	})
	var tooFast int
	err := pool.QueryRow(t.Context(), `
		SELECT count(*) FROM (SELECT settled_at - lag(settled_at, $1) OVER (ORDER BY settled_at) AS gap FROM poison_messages) AS g
		WHERE gap < interval '1 second'`, perSecond).Scan(&tooFast)
	if err != nil || tooFast > 0 {
		t.Errorf("%d replays came too early, error %v", tooFast, err)
	}
}

// A rehearsal tells what a replay would do, and does nothing.
func TestPoisonIsRehearsed(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	r := start(t, server.RoleAll, load(t), plugin.Plugin{Name: "test-team", Handlers: []plugin.Handler{
		plugin.OnTx("bills", func(ctx context.Context, tx pgx.Tx, e schema.PatientCheckedIn, _ schema.Metadata) error {
			if broken.Load() || e.PatientID == "never" {
				return errors.New("no paper")
			}
			_, err := tx.Exec(ctx, "CREATE TABLE rehearsed ()")
			return err
		}),
		plugin.On("prints", func(context.Context, schema.PatientCheckedIn, schema.Metadata) error { return errors.New("no ink") }),
	}})
	for _, patient := range []string{"a", "never"} {
		r.checkIn(patient)
	}
	r.eventually("/api/poison?status=WAITING", `"id":4`)
	rehearse := func(body, want string) {
		t.Helper()
		if status, answer := r.post("/api/poison/rehearse", body); status != http.StatusOK || !strings.Contains(answer, want) {
			t.Errorf("%s: %d: %s; want %s", body, status, answer, want)
		}
	}
	rehearse(`{}`, `"wouldSucceed":0,"wouldFail":2,"notRehearsable":2`)
	broken.Store(false)
	for range 2 { // the first has left nothing
		rehearse(`{"handler":"plugin.test-team.bills"}`, `"wouldSucceed":1,"wouldFail":1,"notRehearsable":0`)
	}
	rehearse(`{"handler":"plugin.test-team.prints"}`, `plugin.OnTx makes one that can`)
	if _, body := r.get("/api/poison?status=WAITING"); !strings.Contains(body, `"id":4`) || !strings.Contains(body, `"id":1`) {
		t.Errorf("a rehearsal changed the messages: %s", body)
	}
}
