package waitingroom

const (
	// MaxCashierRetries is how often a patient who does not come to the cashier may
	// wait again; the absence after that ends the visit.
	MaxCashierRetries = 2
	// MaxConsultationRetries is the same at the consulting room.
	MaxConsultationRetries = 1
)

// MarkAbsentAtCashier is the command for a patient who was called to a desk and did
// not come. The desk is free; the patient keeps the place in the line, or loses the
// visit with the third absence.
//
// It is refused with CodeInvalid, CodeQueueNotFound, CodePatientNotFound or CodeWrongStep.
type MarkAbsentAtCashier struct {
	QueueID   string
	PatientID string
}

// CommandName implements Command.
func (MarkAbsentAtCashier) CommandName() string { return "mark-absent-at-cashier" }

// Aggregate implements Command.
func (c MarkAbsentAtCashier) Aggregate() string { return c.QueueID }

func (c MarkAbsentAtCashier) normalise(v *validation) Command {
	c.QueueID, c.PatientID = v.identifier("queueId", c.QueueID), v.identifier("patientId", c.PatientID)
	return c
}

func (c MarkAbsentAtCashier) decide(q *Queue) ([]Event, error) {
	v, err := q.visit(c.QueueID, c.PatientID, "mark absent at the cashier", AtCashier)
	if err != nil {
		return nil, err
	}
	if v.CashierAbsences >= MaxCashierRetries {
		return []Event{v.cancelledByAbsence(c.QueueID)}, nil
	}
	return []Event{PatientAbsentAtCashier{QueueID: c.QueueID, PatientID: c.PatientID, RetryNumber: v.CashierAbsences + 1}}, nil
}

// MarkAbsentAtConsultation is the command for a patient who was called to a consulting
// room and did not come. The room is free; the patient keeps the place in the line, or
// loses the visit with the second absence.
//
// It is refused with CodeInvalid, CodeQueueNotFound, CodePatientNotFound or CodeWrongStep.
type MarkAbsentAtConsultation struct {
	QueueID   string
	PatientID string
}

// CommandName implements Command.
func (MarkAbsentAtConsultation) CommandName() string { return "mark-absent-at-consultation" }

// Aggregate implements Command.
func (c MarkAbsentAtConsultation) Aggregate() string { return c.QueueID }

func (c MarkAbsentAtConsultation) normalise(v *validation) Command {
	c.QueueID, c.PatientID = v.identifier("queueId", c.QueueID), v.identifier("patientId", c.PatientID)
	return c
}

func (c MarkAbsentAtConsultation) decide(q *Queue) ([]Event, error) {
	v, err := q.visit(c.QueueID, c.PatientID, "mark absent at the consultation", Called)
	if err != nil {
		return nil, err
	}
	if v.ConsultationAbsences >= MaxConsultationRetries {
		return []Event{v.cancelledByAbsence(c.QueueID)}, nil
	}
	return []Event{PatientAbsentAtConsultation{QueueID: c.QueueID, PatientID: c.PatientID, RetryNumber: v.ConsultationAbsences + 1}}, nil
}

// cancelledByAbsence counts the absence that ends the visit, too.
func (v Visit) cancelledByAbsence(queueID string) PatientCancelledByAbsence {
	return PatientCancelledByAbsence{
		QueueID: queueID, PatientID: v.PatientID, TotalAbsences: v.CashierAbsences + v.ConsultationAbsences + 1,
	}
}
