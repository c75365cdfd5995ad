package waitingroom

import "time"

const (
	// MaxAge is the highest age that is accepted, in years.
	MaxAge = 150
	// DefaultMaxCapacity is the capacity of a queue unless configured otherwise.
	DefaultMaxCapacity = 100
)

// CheckIn is the command that puts a patient into a queue. A queue that does not
// exist is created first; one that exists keeps the capacity it was created with.
//
// It is refused with CodeInvalid, CodeQueueFull or CodeAlreadyCheckedIn.
type CheckIn struct {
	// QueueID names the queue.
	QueueID string
	// PatientID identifies the patient within the queue.
	PatientID string
	// PatientName is shown to staff only.
	PatientName string
	// Priority is a priority's name; see ParsePriority.
	Priority string
	// ConsultationType is what the patient comes for, such as "Cardiology".
	ConsultationType string
	// Notes are free text; line breaks are allowed.
	Notes string
	// Age in years, where it is known.
	Age *int
	// Pregnant raises the priority to High at least.
	Pregnant bool
	// At is the moment of the check-in, in the clinic's time zone: tickets are counted
	// by its days. Whoever handles the command sets it.
	At time.Time
	// MaxCapacity is that of a queue which the check-in creates; DefaultMaxCapacity
	// where it is not positive. Whoever handles the command sets it.
	MaxCapacity int
}

// CommandName implements Command.
func (CheckIn) CommandName() string { return "check-in" }

// Aggregate implements Command.
func (c CheckIn) Aggregate() string { return c.QueueID }

func (c CheckIn) normalise(v *validation) Command {
	c.QueueID = v.identifier("queueId", c.QueueID)
	c.PatientID = v.identifier("patientId", c.PatientID)
	c.PatientName = v.line("patientName", c.PatientName, 1, MaxNameLength)
	c.ConsultationType = v.line("consultationType", c.ConsultationType, MinConsultationTypeLength, MaxConsultationTypeLength)
	c.Notes = v.notes("notes", c.Notes)
	if c.Age != nil && (*c.Age < 0 || *c.Age > MaxAge) {
		v.add("age", "must be between 0 and 150")
	}
	if _, err := ParsePriority(c.Priority); err != nil {
		v.add("priority", err.Error())
	}
	if c.MaxCapacity < 1 {
		c.MaxCapacity = DefaultMaxCapacity
	}
	return c
}

func (c CheckIn) decide(q *Queue) ([]Event, error) {
	if v, active := q.visits[c.PatientID]; active {
		return nil, refuse(CodeAlreadyCheckedIn,
			"patient %q is already in queue %q (%s); finish or cancel that visit first", c.PatientID, c.QueueID, v.Status)
	}
	var events []Event
	capacity := q.maxCapacity
	if capacity == 0 { // it has no events, or was begun by hand
		capacity = c.MaxCapacity
		events = append(events, WaitingQueueCreated{QueueID: c.QueueID, QueueName: c.QueueID, MaxCapacity: capacity})
	}
	if q.Active() >= capacity {
		return nil, refuse(CodeQueueFull,
			"queue %q is at its capacity of %d patients; try again when one has left", c.QueueID, capacity)
	}
	requested, _ := ParsePriority(c.Priority)
	given := q.nextTicket(c.At)
	return append(events, PatientCheckedIn{
		QueueID:          c.QueueID,
		PatientID:        c.PatientID,
		PatientName:      c.PatientName,
		Priority:         effectivePriority(requested, c.Age, c.Pregnant).String(),
		ConsultationType: c.ConsultationType,
		Notes:            c.Notes,
		QueuePosition:    q.Active() + 1,
		CheckInTime:      c.At.UTC(),
		TicketNumber:     given.number(),
		TicketDay:        given.day,
	}), nil
}
