package readmodel

import (
	"cmp"
	"strconv"

	"github.com/rlapp/rlapp/schema"
)

// step is what an event says about one patient.
type step struct {
	patient
	// status is where the patient stands afterwards.
	status string
	// place is the desk or the consulting room that the patient takes up then.
	place string
	// keepsPlace says that the place is that of before.
	keepsPlace bool
	// detail is what else the event says.
	detail string
}

// over reports whether the visit ended.
func (s step) over() bool {
	return s.status == "completed" || s.status == "cancelled-payment" || s.status == "cancelled-absence"
}

// defaultDesk is the desk of an event that names none: waitingroom.DefaultCashierDesk.
const defaultDesk = "desk-1"

// stepOf reads the step off an event; the events that open a queue or are about a room
// are about no patient.
func stepOf(event schema.Event) (s step, ok bool) {
	switch e := event.(type) {
	case schema.PatientCheckedIn:
		return step{patient: patient{e.QueueID, e.PatientID}, status: "waiting-cashier", detail: e.TicketNumber}, true
	case schema.PatientCalledAtCashier:
		return step{patient: patient{e.QueueID, e.PatientID}, status: "at-cashier", place: cmp.Or(e.CashierDeskID, defaultDesk)}, true
	case schema.PatientPaymentValidated:
		return step{patient: patient{e.QueueID, e.PatientID}, status: "waiting-consultation", detail: e.PaymentReference}, true
	case schema.PatientPaymentPending:
		return step{patient: patient{e.QueueID, e.PatientID}, status: "payment-pending", keepsPlace: true, detail: e.Reason}, true
	case schema.PatientAbsentAtCashier:
		return step{patient: patient{e.QueueID, e.PatientID}, status: "waiting-cashier", detail: "absence " + strconv.Itoa(e.RetryNumber)}, true
	case schema.PatientCancelledByPayment:
		return step{patient: patient{e.QueueID, e.PatientID}, status: "cancelled-payment", detail: e.Reason}, true
	case schema.PatientCancelledByAbsence:
		return step{patient: patient{e.QueueID, e.PatientID}, status: "cancelled-absence", detail: "absence " + strconv.Itoa(e.TotalAbsences)}, true
	case schema.PatientClaimedForAttention:
		return step{patient: patient{e.QueueID, e.PatientID}, status: "called", place: e.StationID}, true
	case schema.PatientCalled:
		return step{patient: patient{e.QueueID, e.PatientID}, status: "in-consultation", place: e.StationID, keepsPlace: e.StationID == ""}, true
	case schema.PatientAbsentAtConsultation:
		return step{patient: patient{e.QueueID, e.PatientID}, status: "waiting-consultation", detail: "absence " + strconv.Itoa(e.RetryNumber)}, true
	case schema.PatientAttentionCompleted:
		return step{patient: patient{e.QueueID, e.PatientID}, status: "completed", detail: e.Outcome}, true
	}
	return step{}, false
}
