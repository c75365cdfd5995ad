package waitingroom

// ActivateConsultingRoom is the command that opens a consulting room for calls.
//
// It is refused with CodeInvalid, CodeQueueNotFound or CodeRoomActive.
type ActivateConsultingRoom struct {
	QueueID          string
	ConsultingRoomID string
}

// CommandName implements Command.
func (ActivateConsultingRoom) CommandName() string { return "activate-consulting-room" }

// Aggregate implements Command.
func (c ActivateConsultingRoom) Aggregate() string { return c.QueueID }

func (c ActivateConsultingRoom) normalise(v *validation) Command {
	c.QueueID = v.identifier("queueId", c.QueueID)
	c.ConsultingRoomID = v.identifier("consultingRoomId", c.ConsultingRoomID)
	return c
}

func (c ActivateConsultingRoom) decide(q *Queue) ([]Event, error) {
	if err := q.present(c.QueueID); err != nil {
		return nil, err
	}
	if q.rooms[c.ConsultingRoomID] {
		return nil, refuse(CodeRoomActive, "consulting room %q of queue %q is active already", c.ConsultingRoomID, c.QueueID)
	}
	return []Event{ConsultingRoomActivated(c)}, nil
}

// DeactivateConsultingRoom is the command that closes a consulting room.
//
// It is refused with CodeInvalid, CodeQueueNotFound, CodeRoomNotActive or CodeRoomBusy.
type DeactivateConsultingRoom struct {
	QueueID          string
	ConsultingRoomID string
}

// CommandName implements Command.
func (DeactivateConsultingRoom) CommandName() string { return "deactivate-consulting-room" }

// Aggregate implements Command.
func (c DeactivateConsultingRoom) Aggregate() string { return c.QueueID }

func (c DeactivateConsultingRoom) normalise(v *validation) Command {
	c.QueueID = v.identifier("queueId", c.QueueID)
	c.ConsultingRoomID = v.identifier("consultingRoomId", c.ConsultingRoomID)
	return c
}

func (c DeactivateConsultingRoom) decide(q *Queue) ([]Event, error) {
	if err := q.freeRoom(c.QueueID, c.ConsultingRoomID); err != nil {
		return nil, err
	}
	return []Event{ConsultingRoomDeactivated(c)}, nil
}

// freeRoom refuses a room that is not active or has a patient.
func (q *Queue) freeRoom(queueID, roomID string) error {
	if err := q.present(queueID); err != nil {
		return err
	}
	if !q.rooms[roomID] {
		return refuse(CodeRoomNotActive, "consulting room %q of queue %q is not active; activate it first", roomID, queueID)
	}
	if patientID, taken := q.takenBy(roomID, Visit.inRoom); taken {
		return refuse(CodeRoomBusy, "patient %q is in consulting room %q; finish the consultation or mark the patient absent first",
			patientID, roomID)
	}
	return nil
}
