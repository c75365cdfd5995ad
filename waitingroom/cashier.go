package waitingroom

// DefaultCashierDesk is the desk of a clinic that names none.
const DefaultCashierDesk = "desk-1"

// CallNextAtCashier is the command that sends the next patient to a cashier's desk:
// the one with the highest priority, and among equals the first to arrive.
//
// It is refused with CodeInvalid, CodeQueueNotFound, CodeDeskBusy or CodeNobodyWaiting.
type CallNextAtCashier struct {
	QueueID string
	// CashierDeskID is the desk; DefaultCashierDesk where it is empty. One patient can
	// be at a desk, and several desks work at once.
	CashierDeskID string
}

// CommandName implements Command.
func (CallNextAtCashier) CommandName() string { return "call-next-at-cashier" }

// Aggregate implements Command.
func (c CallNextAtCashier) Aggregate() string { return c.QueueID }

func (c CallNextAtCashier) normalise(v *validation) Command {
	c.QueueID = v.identifier("queueId", c.QueueID)
	if c.CashierDeskID = v.name("cashierDeskId", c.CashierDeskID, 0); c.CashierDeskID == "" {
		c.CashierDeskID = DefaultCashierDesk
	}
	return c
}

func (c CallNextAtCashier) decide(q *Queue) ([]Event, error) {
	if err := q.present(c.QueueID); err != nil {
		return nil, err
	}
	if patientID, taken := q.takenBy(c.CashierDeskID, Visit.atDesk); taken {
		return nil, refuse(CodeDeskBusy, "patient %q is still at desk %q; validate the payment, or mark the patient absent or the payment cancelled",
			patientID, c.CashierDeskID)
	}
	next, found := q.first(WaitingCashier)
	if !found {
		return nil, refuse(CodeNobodyWaiting, "nobody waits for the cashier in queue %q", c.QueueID)
	}
	return []Event{PatientCalledAtCashier{
		QueueID: c.QueueID, PatientID: next.PatientID, PatientName: next.PatientName, Priority: next.Priority.String(),
		ConsultationType: next.ConsultationType, CashierDeskID: c.CashierDeskID,
	}}, nil
}
