package waitingroom

// CallNextForConsultation is the command that calls the next patient to a consulting
// room: the one with the highest priority, and among equals the first to arrive.
//
// It is refused with CodeInvalid, CodeQueueNotFound, CodeRoomNotActive, CodeRoomBusy or
// CodeNobodyWaiting.
type CallNextForConsultation struct {
	QueueID string
	// StationID is the consulting room. It has to be active and free; several rooms
	// work at once.
	StationID string
}

// CommandName implements Command.
func (CallNextForConsultation) CommandName() string { return "call-next-for-consultation" }

// Aggregate implements Command.
func (c CallNextForConsultation) Aggregate() string { return c.QueueID }

func (c CallNextForConsultation) normalise(v *validation) Command {
	c.QueueID, c.StationID = v.identifier("queueId", c.QueueID), v.identifier("stationId", c.StationID)
	return c
}

func (c CallNextForConsultation) decide(q *Queue) ([]Event, error) {
	if err := q.freeRoom(c.QueueID, c.StationID); err != nil {
		return nil, err
	}
	next, found := q.first(WaitingConsultation)
	if !found {
		return nil, refuse(CodeNobodyWaiting, "nobody waits for a consultation in queue %q", c.QueueID)
	}
	return []Event{PatientClaimedForAttention{
		QueueID: c.QueueID, PatientID: next.PatientID, PatientName: next.PatientName, Priority: next.Priority.String(),
		ConsultationType: next.ConsultationType, StationID: c.StationID,
	}}, nil
}

// StartConsultation is the command for a patient who came when called.
//
// It is refused with CodeInvalid, CodeQueueNotFound, CodePatientNotFound or CodeWrongStep.
type StartConsultation struct {
	QueueID   string
	PatientID string
}

// CommandName implements Command.
func (StartConsultation) CommandName() string { return "start-consultation" }

// Aggregate implements Command.
func (c StartConsultation) Aggregate() string { return c.QueueID }

func (c StartConsultation) normalise(v *validation) Command {
	c.QueueID, c.PatientID = v.identifier("queueId", c.QueueID), v.identifier("patientId", c.PatientID)
	return c
}

func (c StartConsultation) decide(q *Queue) ([]Event, error) {
	v, err := q.visit(c.QueueID, c.PatientID, "start a consultation", Called)
	if err != nil {
		return nil, err
	}
	return []Event{PatientCalled{QueueID: c.QueueID, PatientID: c.PatientID, StationID: v.Place}}, nil
}

// FinishConsultation is the command that ends a visit after its consultation. The room
// is free.
//
// It is refused with CodeInvalid, CodeQueueNotFound, CodePatientNotFound or CodeWrongStep.
type FinishConsultation struct {
	QueueID   string
	PatientID string
	// Outcome is a few words, such as "treated"; it may be empty.
	Outcome string
	// Notes are free text.
	Notes string
}

// CommandName implements Command.
func (FinishConsultation) CommandName() string { return "finish-consultation" }

// Aggregate implements Command.
func (c FinishConsultation) Aggregate() string { return c.QueueID }

func (c FinishConsultation) normalise(v *validation) Command {
	c.QueueID, c.PatientID = v.identifier("queueId", c.QueueID), v.identifier("patientId", c.PatientID)
	c.Outcome = v.line("outcome", c.Outcome, 0, MaxReferenceLength)
	c.Notes = v.notes("notes", c.Notes)
	return c
}

func (c FinishConsultation) decide(q *Queue) ([]Event, error) {
	v, err := q.visit(c.QueueID, c.PatientID, "finish a consultation", InConsultation)
	if err != nil {
		return nil, err
	}
	return []Event{PatientAttentionCompleted{
		QueueID: c.QueueID, PatientID: v.PatientID, PatientName: v.PatientName, Priority: v.Priority.String(),
		ConsultationType: v.ConsultationType, Outcome: c.Outcome, Notes: c.Notes,
	}}, nil
}
