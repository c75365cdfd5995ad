package waitingroom_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
		ConsultationType: "Cardiology", QueuePosition: 1, CheckInTime: tenOClock, TicketNumber: "A-001", TicketDay: "2026-02-19",
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
				e.PatientID, e.QueuePosition, e.TicketNumber = "patient-2", 2, "A-002"
			})},
		},
		"a finished visit allows a new one": {
			given: []waitingroom.Event{created(1), present, waitingroom.PatientAttentionCompleted{QueueID: "queue-1", PatientID: "patient-1"}},
			when:  checkIn(nil),
			then:  []waitingroom.Event{checkedIn(func(e *waitingroom.PatientCheckedIn) { e.TicketNumber = "A-002" })},
		},
		"a cancelled visit allows a new one": {
			given: []waitingroom.Event{created(1), present, waitingroom.PatientCancelledByAbsence{QueueID: "queue-1", PatientID: "patient-1"}},
			when:  checkIn(nil),
			then:  []waitingroom.Event{checkedIn(func(e *waitingroom.PatientCheckedIn) { e.TicketNumber = "A-002" })},
		},
		"a queue begun by hand gets its capacity": {
			given: []waitingroom.Event{present},
			when:  checkIn(func(c *waitingroom.CheckIn) { c.PatientID = "patient-2" }), max: 30,
			then: []waitingroom.Event{created(30), checkedIn(func(e *waitingroom.PatientCheckedIn) {
				e.PatientID, e.QueuePosition, e.TicketNumber = "patient-2", 2, "A-002"
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
			tt.when.MaxCapacity = tt.max
			got, err := waitingroom.Replay(tt.given...).Decide(tt.when)
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
		"priority unknown":     {change: func(c *waitingroom.CheckIn) { c.Priority = "asap" }, code: waitingroom.CodeInvalid, fields: []string{"priority"}},
		"consultation short":   {change: func(c *waitingroom.CheckIn) { c.ConsultationType = "x" }, code: waitingroom.CodeInvalid, fields: []string{"consultationType"}},
		"consultation long":    {change: func(c *waitingroom.CheckIn) { c.ConsultationType = strings.Repeat("x", 101) }, code: waitingroom.CodeInvalid, fields: []string{"consultationType"}},
		"id long":              {change: func(c *waitingroom.CheckIn) { c.QueueID = strings.Repeat("q", 129) }, code: waitingroom.CodeInvalid, fields: []string{"queueId"}},
		"NUL":                  {change: func(c *waitingroom.CheckIn) { c.PatientName = "John\x00Doe" }, code: waitingroom.CodeInvalid, fields: []string{"patientName"}},
		"a name of two lines":  {change: func(c *waitingroom.CheckIn) { c.PatientName = "John\nDoe" }, code: waitingroom.CodeInvalid, fields: []string{"patientName"}},
		"a type of two lines":  {change: func(c *waitingroom.CheckIn) { c.ConsultationType = "X\nray" }, code: waitingroom.CodeInvalid, fields: []string{"consultationType"}},
		"a direction override": {change: func(c *waitingroom.CheckIn) { c.PatientName = "John\u202eeoD" }, code: waitingroom.CodeInvalid, fields: []string{"patientName"}},
		"broken UTF-8":         {change: func(c *waitingroom.CheckIn) { c.Notes = "\xff" }, code: waitingroom.CodeInvalid, fields: []string{"notes"}},
		"age negative":         {change: age(-1), code: waitingroom.CodeInvalid, fields: []string{"age"}},
		"age over 150":         {change: age(151), code: waitingroom.CodeInvalid, fields: []string{"age"}},
	} {
		t.Run(name, func(t *testing.T) {
			queue := waitingroom.Replay(tt.given...)
			before := queue.Version()
			events, err := queue.Decide(checkIn(tt.change))
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
			events, err := waitingroom.Replay().Decide(checkIn(func(c *waitingroom.CheckIn) {
				c.Priority, c.Age, c.Pregnant = tt.priority, tt.age, tt.pregnant
			}))
			if err != nil {
				t.Fatal(err)
			}
			if got := events[1].(waitingroom.PatientCheckedIn).Priority; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
