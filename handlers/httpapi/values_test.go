package httpapi_test

import (
	"fmt"
	"math"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/handlers/httpapi"
)

// clock is that of the use cases. It stands still until the test moves it.
type clock struct{ micros atomic.Int64 }

func newClock(at time.Time) *clock {
	c := &clock{}
	c.micros.Store(at.UnixMicro())
	return c
}

func (c *clock) now() time.Time { return time.UnixMicro(c.micros.Load()).UTC() }

func (c *clock) pass(d time.Duration) { c.micros.Add(d.Microseconds()) }

// newFixtureAt is an API whose commands happen at the times of a clock.
func newFixtureAt(t *testing.T, c *clock) *fixture {
	t.Helper()
	return newFixtureOver(t, postgrestest.Migrated(t), httpapi.Config{}, command.Config{Now: c.now})
}

// pick is an object with some of the fields only.
func pick(from map[string]any, fields ...string) map[string]any {
	picked := map[string]any{}
	for _, name := range fields {
		picked[name] = from[name]
	}
	return picked
}

// wantMinutes compares what goes on counting, to the minute.
func wantMinutes(t *testing.T, what string, got any, want float64) {
	t.Helper()
	if minutes, ok := got.(float64); !ok || math.Abs(minutes-want) > 1 {
		t.Errorf("%s is %v, want about %v", what, got, want)
	}
}

// Who is in a consultation takes up a place, and is not in the line.
func TestQueuesAreMeasuredByTheirCapacity(t *testing.T) {
	for _, tt := range []struct {
		capacity, waiting, seen int
		monitor, state          map[string]any
	}{
		{
			8, 6, 1,
			map[string]any{"utilizationPercentage": 75.0, "isHighLoad": false, "isEmpty": false},
			map[string]any{"currentCount": 7.0, "availableSpots": 1.0, "isAtCapacity": false, "occupancyPercentage": 87.5},
		},
		{
			5, 4, 0,
			map[string]any{"utilizationPercentage": 80.0, "isHighLoad": true, "isEmpty": false},
			map[string]any{"currentCount": 4.0, "availableSpots": 1.0, "isAtCapacity": false, "occupancyPercentage": 80.0},
		},
		{
			3, 2, 1,
			map[string]any{"utilizationPercentage": 66.67, "isHighLoad": false, "isEmpty": false},
			map[string]any{"currentCount": 3.0, "availableSpots": 0.0, "isAtCapacity": true, "occupancyPercentage": 100.0},
		},
		{
			3, 3, 0,
			map[string]any{"utilizationPercentage": 100.0, "isHighLoad": true, "isEmpty": false},
			map[string]any{"currentCount": 3.0, "availableSpots": 0.0, "isAtCapacity": true, "occupancyPercentage": 100.0},
		},
		{
			40, 0, 1,
			map[string]any{"utilizationPercentage": 0.0, "isHighLoad": false, "isEmpty": true},
			map[string]any{"currentCount": 1.0, "availableSpots": 39.0, "isAtCapacity": false, "occupancyPercentage": 2.5},
		},
	} {
		t.Run(fmt.Sprintf("%d waiting and %d seen of %d", tt.waiting, tt.seen, tt.capacity), func(t *testing.T) {
			f := newFixtureOver(t, postgrestest.Migrated(t), httpapi.Config{}, command.Config{MaxCapacity: tt.capacity})
			for n := range tt.seen {
				f.begin(fmt.Sprintf("seen-%d", n), fmt.Sprintf("room-%d", n))
			}
			for n := range tt.waiting {
				f.arrive(fmt.Sprintf("waiting-%d", n), "medium")
			}
			f.project("queue-1")
			tt.monitor["maxCapacity"], tt.monitor["totalPatientsWaiting"], tt.state["maxCapacity"] = float64(tt.capacity), float64(tt.waiting), float64(tt.capacity)
			one := f.get("/api/v1/waiting-room/queue-1/monitor").json(t)
			all := f.get("/api/waiting-room/monitor").json(t)["queues"].([]any)[0].(map[string]any)
			for name, monitor := range map[string]map[string]any{"one queue": one, "all queues": all} {
				got := pick(monitor, "utilizationPercentage", "isHighLoad", "isEmpty", "maxCapacity", "totalPatientsWaiting")
				if diff := cmp.Diff(tt.monitor, got); diff != "" {
					t.Errorf("the monitor of %s differs (-want +got):\n%s", name, diff)
				}
			}
			state := f.get("/api/v1/waiting-room/queue-1/queue-state").json(t)
			got := pick(state, "currentCount", "availableSpots", "isAtCapacity", "occupancyPercentage", "maxCapacity")
			if diff := cmp.Diff(tt.state, got); diff != "" {
				t.Errorf("the queue state differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAJourneyTellsHowLongEachStepTook(t *testing.T) {
	c := newClock(time.Now().Add(-2 * time.Hour))
	f := newFixtureAt(t, c)
	f.arrive("p", "low")
	f.step("/api/medical/consulting-room/activate", "consultingRoomId", "room-1")
	for _, s := range []struct {
		after time.Duration
		path  string
		pairs []string
	}{
		{4*time.Minute + 30*time.Second, "/api/cashier/call-next", nil},
		{90 * time.Second, "/api/cashier/validate-payment", []string{"patientId", "p"}},
		{10 * time.Minute, "/api/medical/call-next", []string{"stationId", "room-1"}},
		{2 * time.Minute, "/api/medical/start-consultation", []string{"patientId", "p"}},
		{20*time.Minute + 20*time.Second, "/api/medical/finish-consultation", []string{"patientId", "p"}},
	} {
		c.pass(s.after)
		f.step(s.path, s.pairs...)
	}
	c.pass(time.Minute)
	f.arrive("q", "low")
	c.pass(30 * time.Minute)
	f.step("/api/cashier/call-next")
	f.project("queue-1")

	over := f.get("/api/v1/waiting-room/queue-1/journey?patientId=p").json(t)
	var took []any
	for _, s := range over["steps"].([]any) {
		took = append(took, s.(map[string]any)["durationMinutes"])
	}
	if diff := cmp.Diff([]any{4.5, 1.5, 10.0, 2.0, 20.33, nil}, took); diff != "" || over["totalMinutes"] != 38.33 {
		t.Errorf("the visit took %v min in all, by steps (-want +got):\n%s", over["totalMinutes"], diff)
	}
	visit := f.get("/api/v1/waiting-room/queue-1/recent-history").json(t)["visits"].([]any)[0].(map[string]any)
	if visit["waitTimeMinutes"] != 18.0 { // until the consultation
		t.Errorf("the history says that the patient waited %v min, want 18", visit["waitTimeMinutes"])
	}

	goesOn := f.get("/api/v1/waiting-room/queue-1/journey?patientId=q").json(t)
	steps := goesOn["steps"].([]any)
	if first := steps[0].(map[string]any)["durationMinutes"]; len(steps) != 2 || first != 30.0 {
		t.Errorf("the steps are %v", steps)
	}
	since := time.Since(c.now()).Minutes()
	wantMinutes(t, "the last step so far", steps[1].(map[string]any)["durationMinutes"], since)
	wantMinutes(t, "the visit so far", goesOn["totalMinutes"], 30+since)
}

// The estimates are told by value, on the queue state and on the board alike.
func TestTheLineTellsPlacesAndEstimates(t *testing.T) {
	c := newClock(time.Now().Add(-50 * time.Minute))
	f := newFixtureAt(t, c)
	f.finish("first")
	c.pass(6*time.Minute + 30*time.Second)
	f.begin("seen", "room-1") // one every 6.5 min
	f.arrive("urgent", "urgent")
	f.arrive("low", "low")
	c.pass(10 * time.Minute)
	f.arrive("late", "low")
	f.step("/api/cashier/call-next")
	f.project("queue-1")
	const pace = "; 2 consultations began in the last hour, one every 6.5 min"
	want := []map[string]any{
		{
			"patientId": "urgent", "status": "at-cashier", "place": "desk-1", "ticketNumber": "A-003", "patientsAhead": 0.0, "estimatedWaitMinutes": 7.0,
			"estimateBasis": "0 to be called before, 0 of 1 rooms free" + pace,
		},
		{
			"patientId": "seen", "status": "in-consultation", "place": "room-1", "ticketNumber": "A-002", "patientsAhead": 0.0, "estimatedWaitMinutes": 0.0,
			"estimateBasis": "it is the patient's turn",
		},
		{
			"patientId": "low", "status": "waiting-cashier", "place": "", "ticketNumber": "A-004", "patientsAhead": 1.0, "estimatedWaitMinutes": 13.0,
			"estimateBasis": "1 to be called before, 0 of 1 rooms free" + pace,
		},
		{
			"patientId": "late", "status": "waiting-cashier", "place": "", "ticketNumber": "A-005", "patientsAhead": 2.0, "estimatedWaitMinutes": 20.0,
			"estimateBasis": "2 to be called before, 0 of 1 rooms free" + pace,
		},
	}
	present := f.get("/api/v1/waiting-room/queue-1/queue-state").json(t)["patientsInQueue"].([]any)
	board := f.get("/api/v1/waiting-room/queue-1/board").json(t)["patients"].([]any)
	if len(present) != len(want) || len(board) != len(want) {
		t.Fatalf("%d are present and %d on the board, want %d", len(present), len(board), len(want))
	}
	for i, w := range want {
		patient := present[i].(map[string]any)
		got := pick(patient, "patientId", "status", "place", "ticketNumber", "patientsAhead", "estimatedWaitMinutes", "estimateBasis")
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("the queue state differs (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(pick(w, "ticketNumber", "status", "place", "estimatedWaitMinutes"), board[i].(map[string]any)); diff != "" {
			t.Errorf("the board differs (-want +got):\n%s", diff)
		}
	}
	since := time.Since(c.now()).Minutes()
	wantMinutes(t, "the wait of the first", present[0].(map[string]any)["waitTimeMinutes"], 10+since)
	wantMinutes(t, "the wait of the last", present[3].(map[string]any)["waitTimeMinutes"], since)
	monitor := f.get("/api/v1/waiting-room/queue-1/monitor").json(t)
	wantMinutes(t, "the wait of the line", monitor["currentWaitMinutes"], (20+3*since)/3)
}

// The next turn tells how far the patient has been called, when, and where to; one whose
// consultation has begun is shown while nobody else is there.
func TestTheNextTurnTellsHowFarThePatientIs(t *testing.T) {
	c := newClock(time.Now().Add(-30 * time.Minute).Truncate(time.Microsecond))
	f := newFixtureAt(t, c)
	const path = "/api/v1/waiting-room/queue-1/next-turn"
	var claimed, called any
	turn := func(status string, claimedAt, calledAt, stationID any) {
		t.Helper()
		f.project("queue-1")
		want := map[string]any{"patientId": "p", "ticketNumber": "A-001", "status": status, "claimedAt": claimedAt, "calledAt": calledAt, "stationId": stationID}
		got := f.get(path).json(t)
		if diff := cmp.Diff(want, pick(got, "patientId", "ticketNumber", "status", "claimedAt", "calledAt", "stationId")); diff != "" {
			t.Errorf("the next turn differs (-want +got):\n%s", diff)
		}
	}
	step := func(path string, pairs ...string) (at string) {
		t.Helper()
		c.pass(time.Minute)
		f.step(path, pairs...)
		return c.now().Format(time.RFC3339Nano)
	}
	f.arrive("p", "low")
	step("/api/medical/consulting-room/activate", "consultingRoomId", "room-1")
	turn("waiting", nil, nil, nil)
	step("/api/cashier/call-next")
	turn("cashier-called", nil, nil, nil)
	step("/api/cashier/mark-payment-pending", "patientId", "p")
	turn("cashier-called", nil, nil, nil)
	step("/api/cashier/validate-payment", "patientId", "p")
	turn("waiting", nil, nil, nil)
	claimed = step("/api/medical/call-next", "stationId", "room-1")
	turn("claimed", claimed, nil, "room-1")
	step("/api/medical/mark-absent", "patientId", "p")
	turn("waiting", nil, nil, nil)
	claimed = step("/api/medical/call-next", "stationId", "room-1")
	turn("claimed", claimed, nil, "room-1")
	called = step("/api/medical/start-consultation", "patientId", "p")
	turn("called", claimed, called, "room-1")
	wantMinutes(t, "the wait", f.get(path).json(t)["waitTimeMinutes"], 30)
	// The same from all events at once.
	if _, err := f.views.RebuildQueue(t.Context(), "queue-1"); err != nil {
		t.Fatal(err)
	}
	turn("called", claimed, called, "room-1")

	f.arrive("q", "low")
	f.project("queue-1")
	if next := f.get(path).json(t); next["patientId"] != "q" || next["status"] != "waiting" {
		t.Errorf("beside one who waits the next turn is %v", next)
	}
	for range 3 {
		step("/api/cashier/call-next")
		step("/api/cashier/mark-absent", "patientId", "q")
	}
	turn("called", claimed, called, "room-1")
	step("/api/medical/finish-consultation", "patientId", "p")
	f.project("queue-1")
	if got := f.get(path); got.status != http.StatusNotFound || got.json(t)["code"] != "nobody_waiting" {
		t.Errorf("with nobody there: %d %s", got.status, got.body)
	}
}
