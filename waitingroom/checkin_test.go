package waitingroom_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rlapp/rlapp/waitingroom"
)

var tenOClock = time.Date(2026, 2, 19, 10, 0, 0, 0, time.UTC)

func checkIn(change func(*waitingroom.CheckIn)) waitingroom.CheckIn {
	c := waitingroom.CheckIn{
		QueueID: "queue-1", PatientID: "patient-1", PatientName: "John Doe", Priority: "HIGH",
		ConsultationType: "Cardiology", At: tenOClock,
	}
	if change != nil {
		change(&c)
	}
	return c
}

func checkedIn(change func(*waitingroom.PatientCheckedIn)) waitingroom.PatientCheckedIn {
	e := waitingroom.PatientCheckedIn{
		QueueID: "queue-1", PatientID: "patient-1", PatientName: "John Doe", Priority: "High",
		ConsultationType: "Cardiology", QueuePosition: 1, CheckInTime: tenOClock,
	}
	if change != nil {
		change(&e)
	}
	return e
}

func created(capacity int) waitingroom.WaitingQueueCreated {
	return waitingroom.WaitingQueueCreated{QueueID: "queue-1", QueueName: "queue-1", MaxCapacity: capacity}
}

func TestCheckIn(t *testing.T) {
	present := checkedIn(nil)
	for name, tt := range map[string]struct {
		given []waitingroom.Event
		when  waitingroom.CheckIn
		max   int
		then  []waitingroom.Event
	}{
		"the first one creates the queue": {
			when: checkIn(nil), max: 30,
			then: []waitingroom.Event{created(30), present},
		},
		"a queue has 100 places unless configured": {
			when: checkIn(nil),
			then: []waitingroom.Event{created(100), present},
		},
		"the second patient stands behind the first": {
			given: []waitingroom.Event{created(100), present},
			when:  checkIn(func(c *waitingroom.CheckIn) { c.PatientID = "patient-2" }),
			then: []waitingroom.Event{checkedIn(func(e *waitingroom.PatientCheckedIn) {
				e.PatientID, e.QueuePosition = "patient-2", 2
			})},
		},
		"a finished visit allows a new one": {
			given: []waitingroom.Event{created(1), present, waitingroom.PatientAttentionCompleted{QueueID: "queue-1", PatientID: "patient-1"}},
			when:  checkIn(nil),
			then:  []waitingroom.Event{present},
		},
		"a cancelled visit allows a new one": {
			given: []waitingroom.Event{created(1), present, waitingroom.PatientCancelledByAbsence{QueueID: "queue-1", PatientID: "patient-1"}},
			when:  checkIn(nil),
			then:  []waitingroom.Event{present},
		},
		"a queue begun by hand gets its capacity": {
			given: []waitingroom.Event{present},
			when:  checkIn(func(c *waitingroom.CheckIn) { c.PatientID = "patient-2" }), max: 30,
			then: []waitingroom.Event{created(30), checkedIn(func(e *waitingroom.PatientCheckedIn) {
				e.PatientID, e.QueuePosition = "patient-2", 2
			})},
		},
		"blanks around fields do not count": {
			given: []waitingroom.Event{created(9)},
			when: checkIn(func(c *waitingroom.CheckIn) {
				c.PatientID, c.PatientName, c.Priority, c.Notes = " patient-1 ", " John Doe ", "  high ", " two\nlines "
			}),
			then: []waitingroom.Event{checkedIn(func(e *waitingroom.PatientCheckedIn) { e.Notes = "two\nlines" })},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := waitingroom.Replay(tt.given...).CheckIn(tt.when, tt.max)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.then, got); diff != "" {
				t.Errorf("events differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckInRefusals(t *testing.T) {
	full := []waitingroom.Event{created(1), checkedIn(nil)}
	age := func(years int) func(*waitingroom.CheckIn) { return func(c *waitingroom.CheckIn) { c.Age = &years } }
	for name, tt := range map[string]struct {
		given  []waitingroom.Event
		change func(*waitingroom.CheckIn)
		code   waitingroom.Code
		fields []string
	}{
		"full":    {given: full, change: func(c *waitingroom.CheckIn) { c.PatientID = "patient-2" }, code: waitingroom.CodeQueueFull},
		"present": {given: full, code: waitingroom.CodeAlreadyCheckedIn},
		"every field at once": {
			change: func(c *waitingroom.CheckIn) { *c = waitingroom.CheckIn{At: c.At} }, code: waitingroom.CodeInvalid,
			fields: []string{"queueId", "patientId", "patientName", "consultationType", "priority"},
		},
		"priority unknown":   {change: func(c *waitingroom.CheckIn) { c.Priority = "asap" }, code: waitingroom.CodeInvalid, fields: []string{"priority"}},
		"consultation short": {change: func(c *waitingroom.CheckIn) { c.ConsultationType = "x" }, code: waitingroom.CodeInvalid, fields: []string{"consultationType"}},
		"consultation long":  {change: func(c *waitingroom.CheckIn) { c.ConsultationType = strings.Repeat("x", 101) }, code: waitingroom.CodeInvalid, fields: []string{"consultationType"}},
		"id long":            {change: func(c *waitingroom.CheckIn) { c.QueueID = strings.Repeat("q", 129) }, code: waitingroom.CodeInvalid, fields: []string{"queueId"}},
		"NUL":                {change: func(c *waitingroom.CheckIn) { c.PatientName = "John\x00Doe" }, code: waitingroom.CodeInvalid, fields: []string{"patientName"}},
		"broken UTF-8":       {change: func(c *waitingroom.CheckIn) { c.Notes = "\xff" }, code: waitingroom.CodeInvalid, fields: []string{"notes"}},
		"age negative":       {change: age(-1), code: waitingroom.CodeInvalid, fields: []string{"age"}},
		"age over 150":       {change: age(151), code: waitingroom.CodeInvalid, fields: []string{"age"}},
	} {
		t.Run(name, func(t *testing.T) {
			queue := waitingroom.Replay(tt.given...)
			before := queue.Version()
			events, err := queue.CheckIn(checkIn(tt.change), 0)
			var refusal *waitingroom.Error
			if !errors.As(err, &refusal) || refusal.Code != tt.code {
				t.Fatalf("got %v, want code %s", err, tt.code)
			}
			var fields []string
			for _, f := range refusal.Fields {
				fields = append(fields, f.Field)
			}
			if diff := cmp.Diff(tt.fields, fields); diff != "" {
				t.Errorf("fields differ (-want +got):\n%s", diff)
			}
			if len(events) != 0 || queue.Version() != before {
				t.Errorf("a refusal decided %v and left version %d", events, queue.Version())
			}
			if strings.Contains(err.Error(), "John") {
				t.Errorf("the refusal names the patient: %v", err)
			}
		})
	}
}

func TestPriorityRules(t *testing.T) {
	years := func(n int) *int { return &n }
	for _, tt := range []struct {
		priority string
		age      *int
		pregnant bool
		want     string
	}{
		{"low", nil, false, "Low"},
		{" Medium ", years(40), false, "Medium"},
		{"MEDIUM", years(17), false, "High"},
		{"medium", years(18), false, "Medium"},
		{"low", years(65), false, "Low"},
		{"low", years(66), false, "High"},
		{"low", years(0), false, "High"},
		{"low", nil, true, "High"},
		{"urgent", years(3), true, "Urgent"},
		{"high", nil, true, "High"},
	} {
		t.Run(fmt.Sprintf("%s/%v/%t", tt.priority, tt.age, tt.pregnant), func(t *testing.T) {
			events, err := waitingroom.Replay().CheckIn(checkIn(func(c *waitingroom.CheckIn) {
				c.Priority, c.Age, c.Pregnant = tt.priority, tt.age, tt.pregnant
			}), 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := events[1].(waitingroom.PatientCheckedIn).Priority; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// Whatever the order of check-ins and leavings, a queue never holds more than
// its capacity nor a patient twice, and a replay gives the same queue.
func TestCheckInProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 5).Draw(t, "capacity")
		queue := waitingroom.Replay()
		present := map[string]bool{}
		var history []waitingroom.Event
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			patientID := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g"}).Draw(t, "patient")
			if present[patientID] && rapid.Bool().Draw(t, "leaves") {
				gone := waitingroom.PatientAttentionCompleted{QueueID: "queue-1", PatientID: patientID}
				queue.Apply(gone)
				history = append(history, gone)
				delete(present, patientID)
				continue
			}
			events, err := queue.CheckIn(checkIn(func(c *waitingroom.CheckIn) { c.PatientID = patientID }), capacity)
			allowed := !present[patientID] && len(present) < capacity
			if allowed != (err == nil) {
				t.Fatalf("check-in of %s with %d of %d present: %v", patientID, len(present), capacity, err)
			}
			if err == nil {
				present[patientID] = true
				queue.Apply(events...)
				history = append(history, events...)
			}
		}
		if queue.Active() != len(present) || queue.Version() != int64(len(history)) {
			t.Fatalf("active %d, version %d; want %d, %d", queue.Active(), queue.Version(), len(present), len(history))
		}
		if diff := cmp.Diff(queue, waitingroom.Replay(history...), cmp.AllowUnexported(waitingroom.Queue{})); diff != "" {
			t.Fatalf("a replay differs:\n%s", diff)
		}
	})
}

func TestStatusFollowsEvents(t *testing.T) {
	patient := "patient-1"
	queue := waitingroom.Replay(created(1), checkedIn(nil))
	for _, step := range []struct {
		event waitingroom.Event
		want  waitingroom.Status
	}{
		{waitingroom.PatientCalledAtCashier{PatientID: patient}, waitingroom.AtCashier},
		{waitingroom.PatientAbsentAtCashier{PatientID: patient}, waitingroom.WaitingCashier},
		{waitingroom.PatientPaymentPending{PatientID: patient}, waitingroom.PaymentPending},
		{waitingroom.PatientPaymentValidated{PatientID: patient}, waitingroom.WaitingConsultation},
		{waitingroom.PatientClaimedForAttention{PatientID: patient}, waitingroom.Called},
		{waitingroom.PatientAbsentAtConsultation{PatientID: patient}, waitingroom.WaitingConsultation},
		{waitingroom.PatientCalled{PatientID: patient}, waitingroom.InConsultation},
		{waitingroom.ConsultingRoomActivated{}, waitingroom.InConsultation},
		{waitingroom.PatientAttentionCompleted{PatientID: patient}, ""}, // forgotten
		{waitingroom.PatientCancelledByPayment{PatientID: patient}, ""},
	} {
		queue.Apply(step.event)
		if got, _ := queue.Status(patient); got != step.want {
			t.Errorf("after %s: %s, want %s", step.event.EventName(), got, step.want)
		}
	}
	if queue.Active() != 0 {
		t.Errorf("%d active after the visit ended", queue.Active())
	}
}
