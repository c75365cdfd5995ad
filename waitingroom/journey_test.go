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

const q1 = "queue-1"

// arrived is the check-in of one more patient, as events.
func arrived(id string, priority waitingroom.Priority) waitingroom.PatientCheckedIn {
	return checkedIn(func(e *waitingroom.PatientCheckedIn) {
		e.PatientID, e.PatientName, e.Priority = id, "Name of "+id, priority.String()
	})
}

// The events that bring patient "p" to each state, from an empty queue with one
// active room.
var (
	waiting   = []waitingroom.Event{created(9), waitingroom.ConsultingRoomActivated{QueueID: q1, ConsultingRoomID: "room-1"}, arrived("p", waitingroom.Medium)}
	atDesk    = then(waiting, called("p", "desk-1"))
	pending1  = then(atDesk, pending("p", 1))
	pending2  = then(pending1, pending("p", 2))
	pending3  = then(pending2, pending("p", 3))
	paid      = then(atDesk, validated("p", ""))
	claimed   = then(paid, claim("p", "room-1"))
	inRoom    = then(claimed, waitingroom.PatientCalled{QueueID: q1, PatientID: "p", StationID: "room-1"})
	completed = then(inRoom, waitingroom.PatientAttentionCompleted{QueueID: q1, PatientID: "p"})
	absent1   = then(atDesk, waitingroom.PatientAbsentAtCashier{QueueID: q1, PatientID: "p", RetryNumber: 1})
	absent2   = then(absent1, called("p", "desk-1"), waitingroom.PatientAbsentAtCashier{QueueID: q1, PatientID: "p", RetryNumber: 2})
	missed    = then(claimed, waitingroom.PatientAbsentAtConsultation{QueueID: q1, PatientID: "p", RetryNumber: 1})
	cancelled = then(pending3, waitingroom.PatientCancelledByPayment{QueueID: q1, PatientID: "p"})
	gone      = then(absent2, called("p", "desk-1"), waitingroom.PatientCancelledByAbsence{QueueID: q1, PatientID: "p", TotalAbsences: 3})
)

func then(before []waitingroom.Event, events ...waitingroom.Event) []waitingroom.Event {
	return append(append([]waitingroom.Event(nil), before...), events...)
}

func called(id, desk string) waitingroom.PatientCalledAtCashier {
	return waitingroom.PatientCalledAtCashier{
		QueueID: q1, PatientID: id, PatientName: "Name of " + id, Priority: "Medium", ConsultationType: "Cardiology", CashierDeskID: desk,
	}
}

func pending(id string, attempt int) waitingroom.PatientPaymentPending {
	return waitingroom.PatientPaymentPending{
		QueueID: q1, PatientID: id, PatientName: "Name of " + id, Priority: "Medium", ConsultationType: "Cardiology", AttemptNumber: attempt,
	}
}

func validated(id, reference string) waitingroom.PatientPaymentValidated {
	return waitingroom.PatientPaymentValidated{
		QueueID: q1, PatientID: id, PatientName: "Name of " + id, Priority: "Medium", ConsultationType: "Cardiology", PaymentReference: reference,
	}
}

func claim(id, room string) waitingroom.PatientClaimedForAttention {
	return waitingroom.PatientClaimedForAttention{
		QueueID: q1, PatientID: id, PatientName: "Name of " + id, Priority: "Medium", ConsultationType: "Cardiology", StationID: room,
	}
}

func TestEveryStep(t *testing.T) {
	urgent := func(e waitingroom.PatientCalledAtCashier) waitingroom.PatientCalledAtCashier {
		e.Priority = "Urgent"
		return e
	}
	for name, tt := range map[string]struct {
		given []waitingroom.Event
		when  waitingroom.Command
		then  waitingroom.Event
	}{
		"the first in the line is called to the desk that a clinic has": {
			waiting, waitingroom.CallNextAtCashier{QueueID: q1}, called("p", waitingroom.DefaultCashierDesk),
		},
		"a desk may have a name": {waiting, waitingroom.CallNextAtCashier{QueueID: q1, CashierDeskID: " desk-2 "}, called("p", "desk-2")},
		"the highest priority goes first": {
			then(waiting, arrived("u", waitingroom.Urgent)), waitingroom.CallNextAtCashier{QueueID: q1}, urgent(called("u", "desk-1")),
		},
		"among equals the first to arrive goes first": {
			then(waiting, arrived("a", waitingroom.Medium)), waitingroom.CallNextAtCashier{QueueID: q1}, called("p", "desk-1"),
		},
		"another desk works beside a busy one": {
			then(atDesk, arrived("a", waitingroom.Medium)), waitingroom.CallNextAtCashier{QueueID: q1, CashierDeskID: "desk-2"}, called("a", "desk-2"),
		},
		"a payment":                                {atDesk, waitingroom.ValidatePayment{QueueID: q1, PatientID: "p", PaymentReference: " r-7 "}, validated("p", "r-7")},
		"a payment at last":                        {pending3, waitingroom.ValidatePayment{QueueID: q1, PatientID: "p"}, validated("p", "")},
		"a payment that must wait":                 {atDesk, waitingroom.MarkPaymentPending{QueueID: q1, PatientID: "p"}, pending("p", 1)},
		"a second attempt":                         {pending1, waitingroom.MarkPaymentPending{QueueID: q1, PatientID: "p"}, pending("p", 2)},
		"a third attempt":                          {pending2, waitingroom.MarkPaymentPending{QueueID: q1, PatientID: "p"}, pending("p", 3)},
		"who cannot pay is sent":                   {pending3, waitingroom.CancelPayment{QueueID: q1, PatientID: "p", Reason: "card refused"}, waitingroom.PatientCancelledByPayment{QueueID: q1, PatientID: "p", Reason: "card refused"}},
		"a paid desk is free":                      {then(paid, arrived("a", waitingroom.Medium)), waitingroom.CallNextAtCashier{QueueID: q1}, called("a", "desk-1")},
		"a desk is free after a cancelled payment": {then(cancelled, arrived("a", waitingroom.Medium)), waitingroom.CallNextAtCashier{QueueID: q1}, called("a", "desk-1")},
		"absent at the cashier":                    {atDesk, waitingroom.MarkAbsentAtCashier{QueueID: q1, PatientID: "p"}, waitingroom.PatientAbsentAtCashier{QueueID: q1, PatientID: "p", RetryNumber: 1}},
		"absent again":                             {then(absent1, called("p", "desk-1")), waitingroom.MarkAbsentAtCashier{QueueID: q1, PatientID: "p"}, waitingroom.PatientAbsentAtCashier{QueueID: q1, PatientID: "p", RetryNumber: 2}},
		"the third absence is the last": {
			then(absent2, called("p", "desk-1")),
			waitingroom.MarkAbsentAtCashier{QueueID: q1, PatientID: "p"},
			waitingroom.PatientCancelledByAbsence{QueueID: q1, PatientID: "p", TotalAbsences: 3},
		},
		"who was absent keeps the place in the line": {
			then(absent1, arrived("a", waitingroom.Medium)), waitingroom.CallNextAtCashier{QueueID: q1}, called("p", "desk-1"),
		},
		"a room opens":                {waiting, waitingroom.ActivateConsultingRoom{QueueID: q1, ConsultingRoomID: "room-2"}, waitingroom.ConsultingRoomActivated{QueueID: q1, ConsultingRoomID: "room-2"}},
		"a room closes":               {paid, waitingroom.DeactivateConsultingRoom{QueueID: q1, ConsultingRoomID: "room-1"}, waitingroom.ConsultingRoomDeactivated{QueueID: q1, ConsultingRoomID: "room-1"}},
		"a room opens again":          {then(waiting, waitingroom.ConsultingRoomDeactivated{QueueID: q1, ConsultingRoomID: "room-1"}), waitingroom.ActivateConsultingRoom{QueueID: q1, ConsultingRoomID: "room-1"}, waitingroom.ConsultingRoomActivated{QueueID: q1, ConsultingRoomID: "room-1"}},
		"the next for a consultation": {paid, waitingroom.CallNextForConsultation{QueueID: q1, StationID: "room-1"}, claim("p", "room-1")},
		"the first to arrive, not the first to pay": {
			then(waiting, arrived("a", waitingroom.Medium), called("a", "desk-2"), validated("a", ""), called("p", "desk-1"), validated("p", "")),
			waitingroom.CallNextForConsultation{QueueID: q1, StationID: "room-1"},
			claim("p", "room-1"),
		},
		"another room works beside a busy one": {
			then(inRoom, waitingroom.ConsultingRoomActivated{QueueID: q1, ConsultingRoomID: "room-2"}, arrived("a", waitingroom.Medium), called("a", "desk-1"), validated("a", "")),
			waitingroom.CallNextForConsultation{QueueID: q1, StationID: "room-2"},
			claim("a", "room-2"),
		},
		"a consultation starts": {claimed, waitingroom.StartConsultation{QueueID: q1, PatientID: "p"}, waitingroom.PatientCalled{QueueID: q1, PatientID: "p", StationID: "room-1"}},
		"a consultation ends": {
			inRoom,
			waitingroom.FinishConsultation{QueueID: q1, PatientID: "p", Outcome: "treated", Notes: "rest\nand tea"},
			waitingroom.PatientAttentionCompleted{QueueID: q1, PatientID: "p", PatientName: "Name of p", Priority: "Medium", ConsultationType: "Cardiology", Outcome: "treated", Notes: "rest\nand tea"},
		},
		"absent at the consultation": {claimed, waitingroom.MarkAbsentAtConsultation{QueueID: q1, PatientID: "p"}, waitingroom.PatientAbsentAtConsultation{QueueID: q1, PatientID: "p", RetryNumber: 1}},
		"the second absence there is the last": {
			then(missed, claim("p", "room-1")),
			waitingroom.MarkAbsentAtConsultation{QueueID: q1, PatientID: "p"},
			waitingroom.PatientCancelledByAbsence{QueueID: q1, PatientID: "p", TotalAbsences: 2},
		},
		"all absences of a visit are told": {
			then(absent2, called("p", "desk-1"), validated("p", ""), claim("p", "room-1"), waitingroom.PatientAbsentAtConsultation{QueueID: q1, PatientID: "p", RetryNumber: 1}, claim("p", "room-1")),
			waitingroom.MarkAbsentAtConsultation{QueueID: q1, PatientID: "p"},
			waitingroom.PatientCancelledByAbsence{QueueID: q1, PatientID: "p", TotalAbsences: 4},
		},
		"a room is free after an absence": {missed, waitingroom.CallNextForConsultation{QueueID: q1, StationID: "room-1"}, claim("p", "room-1")},
		"a room closes after its patient": {completed, waitingroom.DeactivateConsultingRoom{QueueID: q1, ConsultingRoomID: "room-1"}, waitingroom.ConsultingRoomDeactivated{QueueID: q1, ConsultingRoomID: "room-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := waitingroom.Replay(tt.given...).Decide(tt.when)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]waitingroom.Event{tt.then}, got); diff != "" {
				t.Errorf("events differ (-want +got):\n%s", diff)
			}
		})
	}
}

// Every step is refused from every state that is not in its row of the table.
func TestEveryForbiddenStep(t *testing.T) {
	states := map[string][]waitingroom.Event{
		"waiting-cashier": waiting, "at-cashier": atDesk, "payment-pending": pending1, "payment-pending, no attempts left": pending3,
		"waiting-consultation": paid, "called": claimed, "in-consultation": inRoom,
		"completed": completed, "cancelled-payment": cancelled, "cancelled-absence": gone,
	}
	over := "completed; cancelled-payment; cancelled-absence"
	for _, tt := range []struct {
		command waitingroom.Command
		from    string // the states that allow it
	}{
		{waitingroom.ValidatePayment{QueueID: q1, PatientID: "p"}, "at-cashier; payment-pending; payment-pending, no attempts left"},
		{waitingroom.MarkPaymentPending{QueueID: q1, PatientID: "p"}, "at-cashier; payment-pending"},
		{waitingroom.CancelPayment{QueueID: q1, PatientID: "p"}, "payment-pending, no attempts left"},
		{waitingroom.MarkAbsentAtCashier{QueueID: q1, PatientID: "p"}, "at-cashier"},
		{waitingroom.StartConsultation{QueueID: q1, PatientID: "p"}, "called"},
		{waitingroom.FinishConsultation{QueueID: q1, PatientID: "p"}, "in-consultation"},
		{waitingroom.MarkAbsentAtConsultation{QueueID: q1, PatientID: "p"}, "called"},
		{checkIn(func(c *waitingroom.CheckIn) { c.PatientID = "p" }), over},
	} {
		for state, given := range states {
			t.Run(tt.command.CommandName()+"/"+state, func(t *testing.T) {
				queue := waitingroom.Replay(given...)
				_, err := queue.Decide(tt.command)
				if allowed := contains(tt.from, state); allowed != (err == nil) {
					t.Fatalf("allowed: %t, got %v", allowed, err)
				}
				var refusal *waitingroom.Error
				if err != nil && (!errors.As(err, &refusal) || refusal.Code == waitingroom.CodeInvalid || (refusal.Code == waitingroom.CodePatientNotFound) != contains(over, state)) {
					t.Errorf("refused with %v", err)
				}
			})
		}
	}
}

func contains(list, item string) bool {
	for _, one := range strings.Split(list, "; ") {
		if one == item {
			return true
		}
	}
	return false
}

func TestRefusalsTellWhy(t *testing.T) {
	for name, tt := range map[string]struct {
		given []waitingroom.Event
		when  waitingroom.Command
		code  waitingroom.Code
	}{
		"a queue that is not there":         {nil, waitingroom.CallNextAtCashier{QueueID: q1}, waitingroom.CodeQueueNotFound},
		"a queue without rooms":             {nil, waitingroom.ActivateConsultingRoom{QueueID: q1, ConsultingRoomID: "room-1"}, waitingroom.CodeQueueNotFound},
		"a patient of a queue not there":    {nil, waitingroom.ValidatePayment{QueueID: q1, PatientID: "p"}, waitingroom.CodeQueueNotFound},
		"a patient who never came":          {waiting, waitingroom.ValidatePayment{QueueID: q1, PatientID: "x"}, waitingroom.CodePatientNotFound},
		"a patient whose visit is over":     {completed, waitingroom.FinishConsultation{QueueID: q1, PatientID: "p"}, waitingroom.CodePatientNotFound},
		"a patient who was sent away":       {cancelled, waitingroom.ValidatePayment{QueueID: q1, PatientID: "p"}, waitingroom.CodePatientNotFound},
		"a step from elsewhere":             {waiting, waitingroom.ValidatePayment{QueueID: q1, PatientID: "p"}, waitingroom.CodeWrongStep},
		"nobody for the cashier":            {paid, waitingroom.CallNextAtCashier{QueueID: q1}, waitingroom.CodeNobodyWaiting},
		"nobody for a consultation":         {waiting, waitingroom.CallNextForConsultation{QueueID: q1, StationID: "room-1"}, waitingroom.CodeNobodyWaiting},
		"a desk with a patient":             {then(atDesk, arrived("a", waitingroom.High)), waitingroom.CallNextAtCashier{QueueID: q1}, waitingroom.CodeDeskBusy},
		"a desk with a pending payment":     {then(pending1, arrived("a", waitingroom.High)), waitingroom.CallNextAtCashier{QueueID: q1}, waitingroom.CodeDeskBusy},
		"a fourth attempt":                  {pending3, waitingroom.MarkPaymentPending{QueueID: q1, PatientID: "p"}, waitingroom.CodeNoAttemptsLeft},
		"cancelled before the third":        {pending2, waitingroom.CancelPayment{QueueID: q1, PatientID: "p"}, waitingroom.CodeAttemptsLeft},
		"cancelled at the desk":             {atDesk, waitingroom.CancelPayment{QueueID: q1, PatientID: "p"}, waitingroom.CodeWrongStep},
		"a room that is open":               {waiting, waitingroom.ActivateConsultingRoom{QueueID: q1, ConsultingRoomID: "room-1"}, waitingroom.CodeRoomActive},
		"a room that is not open":           {waiting, waitingroom.DeactivateConsultingRoom{QueueID: q1, ConsultingRoomID: "room-2"}, waitingroom.CodeRoomNotActive},
		"a room with who was called":        {claimed, waitingroom.DeactivateConsultingRoom{QueueID: q1, ConsultingRoomID: "room-1"}, waitingroom.CodeRoomBusy},
		"a room with a consultation":        {inRoom, waitingroom.DeactivateConsultingRoom{QueueID: q1, ConsultingRoomID: "room-1"}, waitingroom.CodeRoomBusy},
		"a call to a room that is not open": {paid, waitingroom.CallNextForConsultation{QueueID: q1, StationID: "room-2"}, waitingroom.CodeRoomNotActive},
		"a call to a room with a patient": {
			then(inRoom, arrived("a", waitingroom.High), called("a", "desk-1"), validated("a", "")), waitingroom.CallNextForConsultation{QueueID: q1, StationID: "room-1"}, waitingroom.CodeRoomBusy,
		},
	} {
		t.Run(name, func(t *testing.T) {
			queue := waitingroom.Replay(tt.given...)
			before := queue.Snapshot()
			events, err := queue.Decide(tt.when)
			var refusal *waitingroom.Error
			if !errors.As(err, &refusal) || refusal.Code != tt.code {
				t.Fatalf("got %v, want code %s", err, tt.code)
			}
			if diff := cmp.Diff(before, queue.Snapshot()); diff != "" || len(events) > 0 {
				t.Errorf("a refusal decided %v and changed the queue:\n%s", events, diff)
			}
			if strings.Contains(err.Error(), "Name of") {
				t.Errorf("the refusal names a patient: %v", err)
			}
		})
	}
}

// Every field of every command has its rule of form.
func TestFieldsOfCommands(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for field, commands := range map[string][]waitingroom.Command{
		"queueId": {
			waitingroom.CallNextAtCashier{},
			waitingroom.ValidatePayment{PatientID: "p"},
			waitingroom.MarkPaymentPending{PatientID: "p"},
			waitingroom.CancelPayment{PatientID: "p"},
			waitingroom.MarkAbsentAtCashier{PatientID: "p"},
			waitingroom.MarkAbsentAtConsultation{PatientID: "p"},
			waitingroom.ActivateConsultingRoom{ConsultingRoomID: "r"},
			waitingroom.DeactivateConsultingRoom{ConsultingRoomID: "r"},
			waitingroom.CallNextForConsultation{StationID: "r"},
			waitingroom.StartConsultation{PatientID: "p"},
			waitingroom.FinishConsultation{PatientID: "p"},
		},
		"patientId": {
			waitingroom.ValidatePayment{QueueID: q1},
			waitingroom.MarkPaymentPending{QueueID: q1},
			waitingroom.CancelPayment{QueueID: q1, PatientID: long},
			waitingroom.MarkAbsentAtCashier{QueueID: q1, PatientID: "\x00"},
			waitingroom.MarkAbsentAtConsultation{QueueID: q1},
			waitingroom.StartConsultation{QueueID: q1},
			waitingroom.FinishConsultation{QueueID: q1, PatientID: "\xff"},
		},
		"consultingRoomId": {
			waitingroom.ActivateConsultingRoom{QueueID: q1},
			waitingroom.ActivateConsultingRoom{QueueID: q1, ConsultingRoomID: "room-1\u200b"},
			waitingroom.DeactivateConsultingRoom{QueueID: q1, ConsultingRoomID: "\u202e"},
		},
		"stationId":        {waitingroom.CallNextForConsultation{QueueID: q1}},
		"cashierDeskId":    {waitingroom.CallNextAtCashier{QueueID: q1, CashierDeskID: long}},
		"paymentReference": {waitingroom.ValidatePayment{QueueID: q1, PatientID: "p", PaymentReference: "a\nb"}},
		"reason":           {waitingroom.MarkPaymentPending{QueueID: q1, PatientID: "p", Reason: long}, waitingroom.CancelPayment{QueueID: q1, PatientID: "p", Reason: long}},
		"outcome":          {waitingroom.FinishConsultation{QueueID: q1, PatientID: "p", Outcome: long}},
		"notes":            {waitingroom.FinishConsultation{QueueID: q1, PatientID: "p", Notes: long}},
	} {
		for i, command := range commands {
			t.Run(fmt.Sprintf("%s/%d %s", field, i, command.CommandName()), func(t *testing.T) {
				_, err := waitingroom.Replay(waiting...).Decide(command)
				var refusal *waitingroom.Error
				if !errors.As(err, &refusal) || refusal.Code != waitingroom.CodeInvalid || len(refusal.Fields) != 1 || refusal.Fields[0].Field != field {
					t.Errorf("got %v, want only %s to be invalid", err, field)
				}
			})
		}
	}
}

// What is stored is a fact, also where another program wrote it with less than ours do.
func TestEventsThatSayLittle(t *testing.T) {
	arrived := waitingroom.PatientCheckedIn{QueueID: q1, PatientID: "a", PatientName: "A", Priority: "soon", ConsultationType: "X-ray"}
	queue := waitingroom.Replay(created(5), arrived, waitingroom.PatientCalledAtCashier{QueueID: q1, PatientID: "a"})
	if v, _ := queue.Visit("a"); v.Place != waitingroom.DefaultCashierDesk || v.Priority != waitingroom.Low {
		t.Errorf("a call to no desk, of a patient of no priority, gives %+v", v)
	}
	queue.Apply(waitingroom.PatientClaimedForAttention{QueueID: q1, PatientID: "a", StationID: "room-1"}, waitingroom.PatientCalled{QueueID: q1, PatientID: "a"})
	if v, _ := queue.Visit("a"); v.Place != "room-1" {
		t.Errorf("a call that names no room gives %+v", v)
	}
	queue.Apply(waitingroom.PatientCalledAtCashier{QueueID: q1, PatientID: "nobody"})
	if _, active := queue.Visit("nobody"); active || queue.Active() != 1 {
		t.Error("an event made a patient who never checked in")
	}
}

func TestTickets(t *testing.T) {
	queue := waitingroom.Replay(created(1 << 20))
	day := time.Date(2026, 2, 19, 23, 59, 0, 0, time.FixedZone("clinic", -5*3600))
	number := func(at time.Time) string {
		t.Helper()
		events, err := queue.Decide(checkIn(func(c *waitingroom.CheckIn) { c.PatientID, c.At = fmt.Sprint("p", queue.Version()), at }))
		if err != nil {
			t.Fatal(err)
		}
		queue.Apply(events...)
		return events[0].(waitingroom.PatientCheckedIn).TicketNumber
	}
	for n := 1; n <= 1000; n++ {
		want := fmt.Sprintf("A-%03d", n)
		if n == 1000 {
			want = "B-001"
		}
		if got := number(day); got != want {
			t.Fatalf("ticket %d is %s, want %s", n, got, want)
		}
	}
	if got := number(day.Add(2 * time.Minute)); got != "A-001" {
		t.Errorf("the next day begins with %s", got)
	}
	if got := number(day); got != "A-002" {
		t.Errorf("after the clock went back over midnight: %s, want no number of the day again", got)
	}
}
