package httpapi

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/waitingroom"
)

type callNextAtCashierBody struct {
	OfQueue
	CashierDeskID string `json:"cashierDeskId,omitempty" maxLength:"128" doc:"The desk; desk-1 unless given. One patient can be at a desk." example:"desk-1"`
}

func (b callNextAtCashierBody) command() waitingroom.CallNextAtCashier {
	return waitingroom.CallNextAtCashier{QueueID: b.QueueID, CashierDeskID: b.CashierDeskID}
}

type validatePaymentBody struct {
	OfPatient
	PaymentReference string `json:"paymentReference,omitempty" maxLength:"200" doc:"The till's reference." example:"till-2-0815"`
}

func (b validatePaymentBody) command() waitingroom.ValidatePayment {
	return waitingroom.ValidatePayment{QueueID: b.QueueID, PatientID: b.PatientID, PaymentReference: b.PaymentReference}
}

type markPaymentPendingBody struct {
	OfPatient
	Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why it could not be made." example:"card refused"`
}

func (b markPaymentPendingBody) command() waitingroom.MarkPaymentPending {
	return waitingroom.MarkPaymentPending{QueueID: b.QueueID, PatientID: b.PatientID, Reason: b.Reason}
}

type cancelPaymentBody struct {
	OfPatient
	Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why the visit ends." example:"card refused"`
}

func (b cancelPaymentBody) command() waitingroom.CancelPayment {
	return waitingroom.CancelPayment{QueueID: b.QueueID, PatientID: b.PatientID, Reason: b.Reason}
}

type absentAtCashierBody struct{ OfPatient }

func (b absentAtCashierBody) command() waitingroom.MarkAbsentAtCashier {
	return waitingroom.MarkAbsentAtCashier{QueueID: b.QueueID, PatientID: b.PatientID}
}

func (a *api) cashierRoutes(h huma.API) {
	notFound := []int{http.StatusNotFound}
	registerCommand[callNextAtCashierBody](a, h, commandRoute{
		id: "cashier-call-next", path: "/api/cashier/call-next", tag: "Cashier",
		summary: "Call the next patient to a desk", message: "patient called to the cashier", refusals: notFound,
		description: "Chooses the highest priority, then who came first. Two desks that call at once never get the same patient.",
	})
	registerCommand[validatePaymentBody](a, h, commandRoute{
		id: "validate-payment", path: "/api/cashier/validate-payment", tag: "Cashier",
		summary: "Take a payment", message: "payment validated", refusals: notFound,
		description: "The patient waits for the doctor, and the desk is free.",
	})
	registerCommand[markPaymentPendingBody](a, h, commandRoute{
		id: "mark-payment-pending", path: "/api/cashier/mark-payment-pending", tag: "Cashier",
		summary: "Note that a payment could not be made", message: "payment marked pending", refusals: notFound,
		description: "Up to three times; the patient keeps the desk meanwhile.",
	})
	registerCommand[cancelPaymentBody](a, h, commandRoute{
		id: "cancel-payment", path: "/api/cashier/cancel-payment", tag: "Cashier",
		summary: "End a visit that is not paid", message: "visit cancelled for want of payment", refusals: notFound,
		description: "After three attempts to pay; the desk is free.",
	})
	registerCommand[absentAtCashierBody](a, h, commandRoute{
		id: "cashier-mark-absent", path: "/api/cashier/mark-absent", tag: "Cashier",
		summary: "Note that a patient did not come to the desk", message: "patient marked absent", refusals: notFound,
		description: "The desk is free, and the patient keeps the place in the line; the third absence ends the visit.",
	})
}
