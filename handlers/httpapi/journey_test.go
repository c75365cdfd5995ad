package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
)

// body is a JSON object of strings.
func body(pairs ...string) string {
	var fields []string
	for i := 0; i+1 < len(pairs); i += 2 {
		fields = append(fields, fmt.Sprintf("%q:%q", pairs[i], pairs[i+1]))
	}
	return "{" + strings.Join(fields, ",") + "}"
}

// step asks for something as the staff does, and returns the answer.
func (f *fixture) step(path string, pairs ...string) map[string]any {
	f.t.Helper()
	got := f.post(path, body(append([]string{"queueId", "queue-1", "actor", "nurse"}, pairs...)...))
	if got.status != http.StatusOK {
		f.t.Fatalf("%s %v: %d %s", path, pairs, got.status, got.body)
	}
	return got.json(f.t)
}

// arrive checks a patient in and returns the ticket.
func (f *fixture) arrive(id, priority string) string {
	f.t.Helper()
	answer := f.step("/api/reception/register", "patientId", id, "patientName", "John "+id, "priority", priority, "consultationType", "Cardiology")
	return answer["ticketNumber"].(string)
}

// Every command is answered on each of its paths, and the views follow.
func TestAVisitFromCheckInToTheDoctor(t *testing.T) {
	for _, aliases := range []bool{false, true} {
		t.Run(fmt.Sprintf("aliases=%t", aliases), func(t *testing.T) {
			path := func(first, alias string) string {
				if aliases {
					return alias
				}
				return first
			}
			f := newFixture(t)
			if ticket := f.arrive("p", "LOW"); ticket != "A-001" {
				t.Errorf("the first ticket is %s", ticket)
			}
			f.step("/api/medical/consulting-room/activate", "consultingRoomId", "room-1")
			for _, s := range []struct {
				path   string
				fields []string
				want   map[string]any
				status string
			}{
				{"/api/cashier/call-next", nil, map[string]any{"message": "patient called to the cashier", "patientId": "p", "cashierDeskId": "desk-1"}, "at-cashier"},
				{"/api/cashier/mark-absent", []string{"patientId", "p"}, map[string]any{"message": "patient marked absent", "patientId": "p"}, "waiting-cashier"},
				{"/api/cashier/call-next", []string{"cashierDeskId", "desk-2"}, map[string]any{"message": "patient called to the cashier", "patientId": "p", "cashierDeskId": "desk-2"}, "at-cashier"},
				{"/api/cashier/mark-payment-pending", []string{"patientId", "p", "reason", "card refused"}, map[string]any{"message": "payment marked pending", "patientId": "p"}, "payment-pending"},
				{"/api/cashier/validate-payment", []string{"patientId", "p", "paymentReference", "r-1"}, map[string]any{"message": "payment validated", "patientId": "p"}, "waiting-consultation"},
				{path("/api/medical/call-next", "/api/waiting-room/claim-next"), []string{"stationId", "room-1"}, map[string]any{"message": "patient called to the consulting room", "patientId": "p", "consultingRoomId": "room-1"}, "called"},
				{"/api/medical/mark-absent", []string{"patientId", "p"}, map[string]any{"message": "patient marked absent", "patientId": "p"}, "waiting-consultation"},
				{path("/api/medical/call-next", "/api/waiting-room/claim-next"), []string{"stationId", "room-1"}, map[string]any{"message": "patient called to the consulting room", "patientId": "p", "consultingRoomId": "room-1"}, "called"},
				{path("/api/medical/start-consultation", "/api/waiting-room/call-patient"), []string{"patientId", "p"}, map[string]any{"message": "consultation started", "patientId": "p", "consultingRoomId": "room-1"}, "in-consultation"},
				{path("/api/medical/finish-consultation", "/api/waiting-room/complete-attention"), []string{"patientId", "p", "outcome", "treated", "notes", "rest"}, map[string]any{"message": "consultation finished", "patientId": "p"}, ""},
				{"/api/medical/consulting-room/deactivate", []string{"consultingRoomId", "room-1"}, map[string]any{"message": "consulting room deactivated", "consultingRoomId": "room-1"}, ""},
			} {
				got := f.step(s.path, s.fields...)
				for _, varies := range []string{"correlationId", "queueVersion", "position"} {
					if got[varies] == nil {
						t.Errorf("%s: no %s", s.path, varies)
					}
					delete(got, varies)
				}
				s.want["success"], s.want["eventCount"] = true, 1.0
				if diff := cmp.Diff(s.want, got); diff != "" {
					t.Errorf("%s differs (-want +got):\n%s", s.path, diff)
				}
				f.project("queue-1")
				if status := f.statusOf("p"); status != s.status {
					t.Errorf("after %s the patient is %q, want %q", s.path, status, s.status)
				}
			}
			history := f.get("/api/v1/waiting-room/queue-1/recent-history").json(t)["visits"].([]any)
			if len(history) != 1 || history[0].(map[string]any)["outcome"] != "treated" {
				t.Errorf("history is %v", history)
			}
		})
	}
}

// statusOf is where a patient stands in the queue state; "" for one who is not there.
func (f *fixture) statusOf(patientID string) string {
	f.t.Helper()
	for _, p := range f.get("/api/v1/waiting-room/queue-1/queue-state").json(f.t)["patientsInQueue"].([]any) {
		if one := p.(map[string]any); one["patientId"] == patientID {
			return one["status"].(string)
		}
	}
	return ""
}

func TestVisitsThatEndEarly(t *testing.T) {
	f := newFixture(t)
	f.arrive("poor", "low")
	f.arrive("gone", "low")
	f.step("/api/cashier/call-next")
	for range 3 {
		f.step("/api/cashier/mark-payment-pending", "patientId", "poor")
	}
	f.step("/api/cashier/cancel-payment", "patientId", "poor", "reason", "card refused")
	var last map[string]any
	for range 3 {
		f.step("/api/cashier/call-next")
		last = f.step("/api/cashier/mark-absent", "patientId", "gone")
	}
	if last["message"] != "patient absent too often; visit cancelled" {
		t.Errorf("the last absence is answered %v", last)
	}
	f.project("queue-1")
	if f.statusOf("poor") != "" || f.statusOf("gone") != "" {
		t.Error("a cancelled patient is still in the queue")
	}
	journey := f.get("/api/v1/waiting-room/queue-1/journey?patientId=poor").json(t)
	var names []string
	for _, s := range journey["steps"].([]any) {
		names = append(names, s.(map[string]any)["eventName"].(string))
	}
	want := []string{"PatientCheckedIn", "PatientCalledAtCashier", "PatientPaymentPending", "PatientPaymentPending", "PatientPaymentPending", "PatientCancelledByPayment"}
	if diff := cmp.Diff(want, names); diff != "" || journey["isOver"] != true {
		t.Errorf("the journey differs (-want +got):\n%s", diff)
	}
	lastStep := journey["steps"].([]any)[5].(map[string]any)
	if lastStep["detail"] != "card refused" || lastStep["durationMinutes"] != nil {
		t.Errorf("the last step is %v", lastStep)
	}
}

// A second visit has a journey of its own, and leads to the first.
func TestAJourneyHasItsVisits(t *testing.T) {
	f := newFixture(t)
	for range 2 {
		f.arrive("p", "low")
		for range 3 {
			f.step("/api/cashier/call-next")
			f.step("/api/cashier/mark-absent", "patientId", "p")
		}
	}
	f.project("queue-1")
	last := f.get("/api/v1/waiting-room/queue-1/journey?patientId=p").json(t)
	if len(last["steps"].([]any)) != 7 || last["previous"] == nil {
		t.Fatalf("the last visit is %v", last)
	}
	first := f.get(fmt.Sprintf("/api/v1/waiting-room/queue-1/journey?patientId=p&before=%v", last["previous"])).json(t)
	if len(first["steps"].([]any)) != 7 || first["previous"] != nil {
		t.Errorf("the first visit is %v", first)
	}
	if got := f.get("/api/v1/waiting-room/queue-1/journey?patientId=nobody"); got.status != http.StatusNotFound {
		t.Errorf("nobody's journey: %d", got.status)
	}
}

// Desks, and rooms, that call at once never get the same patient, whichever of two
// processes they ask.
func TestNobodyIsCalledTwice(t *testing.T) {
	connString := postgrestest.Migrated(t)
	processes := []*fixture{newFixtureOn(t, connString), newFixtureOn(t, connString)}
	const patients, callers = 40, 8
	for n := range patients {
		processes[n%2].arrive(fmt.Sprintf("p-%d", n), "medium")
	}
	for n := range callers {
		processes[n%2].step("/api/medical/consulting-room/activate", "consultingRoomId", fmt.Sprintf("place-%d", n))
	}
	for _, step := range []struct {
		call, place string
		then        []string
	}{
		{"/api/cashier/call-next", "cashierDeskId", []string{"/api/cashier/validate-payment"}},
		{"/api/medical/call-next", "stationId", []string{"/api/medical/start-consultation", "/api/medical/finish-consultation"}},
	} {
		var (
			mu     sync.Mutex
			called = map[string]string{}
			group  sync.WaitGroup
		)
		for n := range callers {
			group.Go(func() {
				f, id := processes[n%2], fmt.Sprintf("place-%d", n)
				for {
					got := f.insist(step.call, step.place, id)
					if got.status == http.StatusConflict && got.json(t)["code"] == "nobody_waiting" {
						return
					}
					if got.status != http.StatusOK {
						t.Errorf("%s to %s: %d %s", step.call, id, got.status, got.body)
						return
					}
					patient := got.json(t)["patientId"].(string)
					mu.Lock()
					if other, twice := called[patient]; twice {
						t.Errorf("%s: %s was called to %s and %s", step.call, patient, other, id)
					}
					called[patient] = id
					mu.Unlock()
					for _, path := range step.then {
						if got := f.insist(path, "patientId", patient); got.status != http.StatusOK {
							t.Errorf("%s of %s: %d %s", path, patient, got.status, got.body)
						}
					}
				}
			})
		}
		group.Wait()
		if len(called) != patients {
			t.Errorf("%s: %d of %d were called", step.call, len(called), patients)
		}
	}
}

// insist asks for something, again where too many came at once.
func (f *fixture) insist(path string, pairs ...string) answer {
	f.t.Helper()
	for {
		got := f.post(path, body(append([]string{"queueId", "queue-1", "actor", "nurse"}, pairs...)...))
		if got.status != http.StatusConflict || got.json(f.t)["code"] != "concurrency_conflict" {
			return got
		}
	}
}

func TestTheMonitorTellsHowLongPatientsWaited(t *testing.T) {
	f := newFixture(t)
	f.arrive("p", "low")
	f.step("/api/medical/consulting-room/activate", "consultingRoomId", "room-1")
	f.step("/api/cashier/call-next")
	f.step("/api/cashier/validate-payment", "patientId", "p")
	f.step("/api/medical/call-next", "stationId", "room-1")
	f.step("/api/medical/start-consultation", "patientId", "p")
	f.project("queue-1")
	// The wait took a moment; it is made half an hour.
	if _, err := f.pool.Exec(t.Context(), `UPDATE waiting_queue_waits SET check_in_time = started_at - interval '30 min'`); err != nil {
		t.Fatal(err)
	}
	monitor := f.get("/api/v1/waiting-room/queue-1/monitor").json(t)
	if monitor["averageWaitTimeMinutes"] != 30.0 || monitor["totalPatientsWaiting"] != 0.0 || monitor["currentWaitMinutes"] != 0.0 {
		t.Errorf("the monitor shows %v", monitor)
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE waiting_queue_waits SET started_at = started_at - interval '61 min'`); err != nil {
		t.Fatal(err)
	}
	if monitor := f.get("/api/v1/waiting-room/queue-1/monitor").json(t); monitor["averageWaitTimeMinutes"] != 0.0 {
		t.Errorf("a wait of more than an hour ago counts: %v", monitor)
	}
}

func TestExplain(t *testing.T) {
	f := newFixture(t)
	f.arrive("low", "low")
	f.arrive("urgent", "urgent")
	f.arrive("medium", "medium")
	f.arrive("late", "low")
	f.step("/api/medical/consulting-room/activate", "consultingRoomId", "room-1")
	f.project("queue-1")
	before := time.Now().UTC()
	got := f.get("/api/v1/waiting-room/queue-1/explain?patientId=late").json(t)
	var reasons []string
	for _, a := range got["ahead"].([]any) {
		one := a.(map[string]any)
		reasons = append(reasons, one["patientId"].(string)+" "+one["reason"].(string))
	}
	want := []string{
		"urgent has priority Urgent, which goes before Low", "medium has priority Medium, which goes before Low", "low has the same priority Low and came earlier",
	}
	if diff := cmp.Diff(want, reasons); diff != "" || got["patientsAhead"] != 3.0 {
		t.Errorf("reasons differ (-want +got):\n%s", diff)
	}
	// Nobody has been called yet: 15 min each, and the room is free for the first.
	if got["estimatedWaitMinutes"] != 45.0 || !strings.Contains(got["estimateBasis"].(string), "15 min each") {
		t.Errorf("the estimate is %v: %v", got["estimatedWaitMinutes"], got["estimateBasis"])
	}
	f.step("/api/cashier/call-next")
	f.step("/api/cashier/validate-payment", "patientId", "urgent")
	f.step("/api/medical/call-next", "stationId", "room-1")
	f.project("queue-1")
	now := f.get("/api/v1/waiting-room/queue-1/explain?patientId=late").json(t)
	if first := now["ahead"].([]any)[0].(map[string]any); first["reason"] != "is called to room-1 already" {
		t.Errorf("first is %v", first)
	}
	past := f.get("/api/v1/waiting-room/queue-1/explain?patientId=urgent&at=" + before.Format(time.RFC3339Nano)).json(t)
	if past["status"] != "waiting-cashier" || past["patientsAhead"] != 0.0 {
		t.Errorf("in the past it was %v", past)
	}
	at := func(ahead time.Duration) string {
		return "patientId=late&at=" + time.Now().UTC().Add(ahead).Format(time.RFC3339)
	}
	for query, status := range map[string]int{
		"patientId=nobody": 404, "": 422, "patientId=late&at=yesterday": 422, "patientId=late&at=2001-01-01T00:00:00Z": 404,
		"patientId=late&at=0001-01-01T00:00:00Z": 404, at(time.Hour): 422, at(10 * time.Second): 200,
	} {
		if got := f.get("/api/v1/waiting-room/queue-1/explain?" + query); got.status != status {
			t.Errorf("%q: %d, want %d: %s", query, got.status, status, got.body)
		}
	}
}

// A client that has seen a view is told so until something changes.
func TestViewsHaveTags(t *testing.T) {
	f := newFixture(t)
	f.arrive("p", "low")
	f.project("queue-1")
	const queue = "/api/v1/waiting-room/queue-1/"
	for _, path := range []string{
		queue + "monitor", queue + "queue-state", queue + "next-turn", queue + "recent-history", queue + "board",
		queue + "journey?patientId=p", queue + "explain?patientId=p", "/api/waiting-room/monitor",
	} {
		tag, again := "", answer{}
		for range 2 { // a minute may end in between
			tag = f.get(path).header.Get("ETag")
			if again = f.do(http.MethodGet, path, "", "", "If-None-Match", `"other", `+tag); again.status == http.StatusNotModified {
				break
			}
		}
		if tag == "" || again.status != http.StatusNotModified || again.body != "" || again.header.Get("ETag") != tag {
			t.Errorf("%s: tag %q, then %d %q", path, tag, again.status, again.body)
		}
	}
	state, monitor := f.get(queue+"queue-state").header.Get("ETag"), f.get("/api/waiting-room/monitor").header.Get("ETag")
	f.arrive("q", "low")
	f.project("queue-1")
	for path, tag := range map[string]string{queue + "queue-state": state, "/api/waiting-room/monitor": monitor} {
		if got := f.do(http.MethodGet, path, "", "", "If-None-Match", tag); got.status != http.StatusOK {
			t.Errorf("%s after a change: %d", path, got.status)
		}
	}
	state = f.get(queue + "queue-state").header.Get("ETag")
	if _, err := f.views.RebuildQueue(t.Context(), "queue-1"); err != nil {
		t.Fatal(err)
	}
	if got := f.do(http.MethodGet, queue+"queue-state", "", "", "If-None-Match", state); got.status != http.StatusOK {
		t.Errorf("after a rebuild of the queue: %d", got.status)
	}
}

// The history tells what the journeys know of the same visit, and not of another one.
func TestHistoryTellsHowLongPatientsWaited(t *testing.T) {
	f := newFixture(t)
	f.finish("p")
	f.finish("p")
	f.arrive("p", "low")
	f.project("queue-1")
	_, err := f.pool.Exec(t.Context(), `
		UPDATE patient_journey_view SET occurred_at = '2026-02-19T10:00:00Z'::timestamptz + version * interval '1 minute'`)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, v := range f.get("/api/v1/waiting-room/queue-1/recent-history").json(t)["visits"].([]any) {
		visit := v.(map[string]any)
		seen = append(seen, fmt.Sprint(visit["status"], " ", visit["checkInTime"], " ", visit["waitTimeMinutes"]))
	}
	// The first visit has the versions 2 to 8, with a room activated at 3; the second 9 to 14.
	want := []string{"completed 2026-02-19T10:09:00Z 4", "completed 2026-02-19T10:02:00Z 5"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("the history differs (-want +got):\n%s", diff)
	}
	if _, err := f.pool.Exec(t.Context(), "TRUNCATE patient_journey_view"); err != nil {
		t.Fatal(err)
	}
	visit := f.get("/api/v1/waiting-room/queue-1/recent-history").json(t)["visits"].([]any)[0].(map[string]any)
	if visit["checkInTime"] != nil || visit["waitTimeMinutes"] != nil {
		t.Errorf("without a journey the visit is %v", visit)
	}
}

// Views say what is missing by the codes of the commands.
func TestViewsTellWhatIsMissing(t *testing.T) {
	f := newFixture(t)
	f.finish("p")
	f.project("queue-1")
	for path, code := range map[string]string{
		"unknown/monitor": "queue_not_found", "unknown/queue-state": "queue_not_found", "unknown/board": "queue_not_found",
		"unknown/next-turn": "queue_not_found", "unknown/recent-history": "queue_not_found", "unknown/stream": "queue_not_found",
		"unknown/explain?patientId=p": "queue_not_found", "queue-1/explain?patientId=p": "patient_not_found",
		"queue-1/journey?patientId=nobody": "patient_not_found", "queue-1/next-turn": "nobody_waiting",
	} {
		got := f.get("/api/v1/waiting-room/" + path)
		if got.status != http.StatusNotFound || got.json(t)["code"] != code {
			t.Errorf("%s: %d %s, want 404 %s", path, got.status, got.body, code)
		}
	}
}

// finish takes a patient through a whole visit.
func (f *fixture) finish(id string) {
	f.t.Helper()
	f.begin(id, "room-1")
	f.step("/api/medical/finish-consultation", "patientId", id)
}

// begin takes a patient, for whom nobody else waits, into a consultation.
func (f *fixture) begin(id, room string) {
	f.t.Helper()
	f.arrive(id, "low")
	f.post("/api/medical/consulting-room/activate", body("queueId", "queue-1", "actor", "nurse", "consultingRoomId", room))
	f.step("/api/cashier/call-next")
	f.step("/api/cashier/validate-payment", "patientId", id)
	f.step("/api/medical/call-next", "stationId", room)
	f.step("/api/medical/start-consultation", "patientId", id)
}
