package waitingroom

// The names of the events, as stored, routed and shown. A renamed one is another event.

// EventName implements Event.
func (WaitingQueueCreated) EventName() string { return "WaitingQueueCreated" }

// Aggregate implements Event.
func (e WaitingQueueCreated) Aggregate() string { return e.QueueID }

// EventName implements Event.
func (PatientCheckedIn) EventName() string { return "PatientCheckedIn" }

// Aggregate implements Event.
func (e PatientCheckedIn) Aggregate() string { return e.QueueID }

// EventName implements Event.
func (PatientCalledAtCashier) EventName() string { return "PatientCalledAtCashier" }

// Aggregate implements Event.
func (e PatientCalledAtCashier) Aggregate() string { return e.QueueID }

// EventName implements Event.
func (PatientPaymentValidated) EventName() string { return "PatientPaymentValidated" }

// Aggregate implements Event.
func (e PatientPaymentValidated) Aggregate() string { return e.QueueID }

// EventName implements Event.
func (PatientPaymentPending) EventName() string { return "PatientPaymentPending" }

// Aggregate implements Event.
func (e PatientPaymentPending) Aggregate() string { return e.QueueID }

// EventName implements Event.
func (PatientAbsentAtCashier) EventName() string { return "PatientAbsentAtCashier" }

// Aggregate implements Event.
func (e PatientAbsentAtCashier) Aggregate() string { return e.QueueID }

// EventName implements Event.
func (PatientCancelledByPayment) EventName() string { return "PatientCancelledByPayment" }

// Aggregate implements Event.
func (e PatientCancelledByPayment) Aggregate() string { return e.QueueID }

// EventName implements Event.
func (PatientCancelledByAbsence) EventName() string { return "PatientCancelledByAbsence" }

// Aggregate implements Event.
func (e PatientCancelledByAbsence) Aggregate() string { return e.QueueID }

// EventName implements Event.
func (PatientClaimedForAttention) EventName() string { return "PatientClaimedForAttention" }

// Aggregate implements Event.
func (e PatientClaimedForAttention) Aggregate() string { return e.QueueID }

// EventName implements Event.
func (PatientCalled) EventName() string { return "PatientCalled" }

// Aggregate implements Event.
func (e PatientCalled) Aggregate() string { return e.QueueID }

// EventName implements Event.
func (PatientAbsentAtConsultation) EventName() string { return "PatientAbsentAtConsultation" }

// Aggregate implements Event.
func (e PatientAbsentAtConsultation) Aggregate() string { return e.QueueID }

// EventName implements Event.
func (PatientAttentionCompleted) EventName() string { return "PatientAttentionCompleted" }

// Aggregate implements Event.
func (e PatientAttentionCompleted) Aggregate() string { return e.QueueID }

// EventName implements Event.
func (ConsultingRoomActivated) EventName() string { return "ConsultingRoomActivated" }

// Aggregate implements Event.
func (e ConsultingRoomActivated) Aggregate() string { return e.QueueID }

// EventName implements Event.
func (ConsultingRoomDeactivated) EventName() string { return "ConsultingRoomDeactivated" }

// Aggregate implements Event.
func (e ConsultingRoomDeactivated) Aggregate() string { return e.QueueID }
