package waitingroom

// Status is where a patient stands in the visit.
type Status string

// The states of a visit. The last three are final: the queue forgets the visit, and
// the patient may check in anew.
const (
	WaitingCashier      Status = "waiting-cashier"
	AtCashier           Status = "at-cashier"
	PaymentPending      Status = "payment-pending"
	WaitingConsultation Status = "waiting-consultation"
	Called              Status = "called"
	InConsultation      Status = "in-consultation"
	Completed           Status = "completed"
	CancelledPayment    Status = "cancelled-payment"
	CancelledAbsence    Status = "cancelled-absence"
)
