package waitingroom

// The names of the events, as stored, routed and shown. A renamed one is another event.

// EventName implements Event.
func (WaitingQueueCreated) EventName() string { return "WaitingQueueCreated" }

// EventName implements Event.
func (PatientCheckedIn) EventName() string { return "PatientCheckedIn" }

// EventName implements Event.
func (PatientCalledAtCashier) EventName() string { return "PatientCalledAtCashier" }

// EventName implements Event.
func (PatientPaymentValidated) EventName() string { return "PatientPaymentValidated" }

// EventName implements Event.
func (PatientPaymentPending) EventName() string { return "PatientPaymentPending" }

// EventName implements Event.
func (PatientAbsentAtCashier) EventName() string { return "PatientAbsentAtCashier" }

// EventName implements Event.
func (PatientCancelledByPayment) EventName() string { return "PatientCancelledByPayment" }

// EventName implements Event.
func (PatientCancelledByAbsence) EventName() string { return "PatientCancelledByAbsence" }

// EventName implements Event.
func (PatientClaimedForAttention) EventName() string { return "PatientClaimedForAttention" }

// EventName implements Event.
func (PatientCalled) EventName() string { return "PatientCalled" }

// EventName implements Event.
func (PatientAbsentAtConsultation) EventName() string { return "PatientAbsentAtConsultation" }

// EventName implements Event.
func (PatientAttentionCompleted) EventName() string { return "PatientAttentionCompleted" }

// EventName implements Event.
func (ConsultingRoomActivated) EventName() string { return "ConsultingRoomActivated" }

// EventName implements Event.
func (ConsultingRoomDeactivated) EventName() string { return "ConsultingRoomDeactivated" }
