package waitingroom

// MaxPaymentAttempts is how often a payment may stay pending before the visit can
// only be paid or cancelled.
const MaxPaymentAttempts = 3

// ValidatePayment is the command that ends the cashier's part: the patient waits for
// the doctor, and the desk is free.
//
// It is refused with CodeInvalid, CodeQueueNotFound, CodePatientNotFound or CodeWrongStep.
type ValidatePayment struct {
	QueueID   string
	PatientID string
	// PaymentReference is the till's, where there is one.
	PaymentReference string
}

// CommandName implements Command.
func (ValidatePayment) CommandName() string { return "validate-payment" }

// Aggregate implements Command.
func (c ValidatePayment) Aggregate() string { return c.QueueID }

func (c ValidatePayment) normalise(v *validation) Command {
	c.QueueID, c.PatientID = v.identifier("queueId", c.QueueID), v.identifier("patientId", c.PatientID)
	c.PaymentReference = v.line("paymentReference", c.PaymentReference, 0, MaxReferenceLength)
	return c
}

func (c ValidatePayment) decide(q *Queue) ([]Event, error) {
	v, err := q.visit(c.QueueID, c.PatientID, "validate a payment", AtCashier, PaymentPending)
	if err != nil {
		return nil, err
	}
	return []Event{PatientPaymentValidated{
		QueueID: c.QueueID, PatientID: v.PatientID, PatientName: v.PatientName, Priority: v.Priority.String(),
		ConsultationType: v.ConsultationType, PaymentReference: c.PaymentReference,
	}}, nil
}

// MarkPaymentPending is the command that records a payment which could not be made
// yet. The patient keeps the desk.
//
// It is refused with CodeInvalid, CodeQueueNotFound, CodePatientNotFound, CodeWrongStep,
// or CodeNoAttemptsLeft after MaxPaymentAttempts.
type MarkPaymentPending struct {
	QueueID   string
	PatientID string
	// Reason is free text.
	Reason string
}

// CommandName implements Command.
func (MarkPaymentPending) CommandName() string { return "mark-payment-pending" }

// Aggregate implements Command.
func (c MarkPaymentPending) Aggregate() string { return c.QueueID }

func (c MarkPaymentPending) normalise(v *validation) Command {
	c.QueueID, c.PatientID = v.identifier("queueId", c.QueueID), v.identifier("patientId", c.PatientID)
	c.Reason = v.notes("reason", c.Reason)
	return c
}

func (c MarkPaymentPending) decide(q *Queue) ([]Event, error) {
	v, err := q.visit(c.QueueID, c.PatientID, "mark a payment pending", AtCashier, PaymentPending)
	if err != nil {
		return nil, err
	}
	if v.PaymentAttempts >= MaxPaymentAttempts {
		return nil, refuse(CodeNoAttemptsLeft, "the payment of patient %q was tried %d times; validate it or cancel the visit",
			c.PatientID, v.PaymentAttempts)
	}
	return []Event{PatientPaymentPending{
		QueueID: c.QueueID, PatientID: v.PatientID, PatientName: v.PatientName, Priority: v.Priority.String(),
		ConsultationType: v.ConsultationType, AttemptNumber: v.PaymentAttempts + 1, Reason: c.Reason,
	}}, nil
}

// CancelPayment is the command that ends a visit which is not paid after
// MaxPaymentAttempts. The desk is free.
//
// It is refused with CodeInvalid, CodeQueueNotFound, CodePatientNotFound, CodeWrongStep,
// or CodeAttemptsLeft before.
type CancelPayment struct {
	QueueID   string
	PatientID string
	// Reason is free text.
	Reason string
}

// CommandName implements Command.
func (CancelPayment) CommandName() string { return "cancel-payment" }

// Aggregate implements Command.
func (c CancelPayment) Aggregate() string { return c.QueueID }

func (c CancelPayment) normalise(v *validation) Command {
	c.QueueID, c.PatientID = v.identifier("queueId", c.QueueID), v.identifier("patientId", c.PatientID)
	c.Reason = v.notes("reason", c.Reason)
	return c
}

func (c CancelPayment) decide(q *Queue) ([]Event, error) {
	v, err := q.visit(c.QueueID, c.PatientID, "cancel by payment", PaymentPending)
	if err != nil {
		return nil, err
	}
	if v.PaymentAttempts < MaxPaymentAttempts {
		return nil, refuse(CodeAttemptsLeft, "the payment of patient %q was tried %d of %d times; try it again first",
			c.PatientID, v.PaymentAttempts, MaxPaymentAttempts)
	}
	return []Event{PatientCancelledByPayment(c)}, nil
}
