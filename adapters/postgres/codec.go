package postgres

import (
	"fmt"

	"github.com/rlapp/rlapp/schema"
	"github.com/rlapp/rlapp/waitingroom"
)

// toWire converts a domain event to its wire form. The two types of a pair
// differ in JSON tags only, so the compiler notices a field that one lacks.
func toWire(e waitingroom.Event) (schema.Event, error) {
	switch e := e.(type) {
	case waitingroom.WaitingQueueCreated:
		return schema.WaitingQueueCreated(e), nil
	case waitingroom.PatientCheckedIn:
		return schema.PatientCheckedIn(e), nil
	case waitingroom.PatientCalledAtCashier:
		return schema.PatientCalledAtCashier(e), nil
	case waitingroom.PatientPaymentValidated:
		return schema.PatientPaymentValidated(e), nil
	case waitingroom.PatientPaymentPending:
		return schema.PatientPaymentPending(e), nil
	case waitingroom.PatientAbsentAtCashier:
		return schema.PatientAbsentAtCashier(e), nil
	case waitingroom.PatientCancelledByPayment:
		return schema.PatientCancelledByPayment(e), nil
	case waitingroom.PatientCancelledByAbsence:
		return schema.PatientCancelledByAbsence(e), nil
	case waitingroom.PatientClaimedForAttention:
		return schema.PatientClaimedForAttention(e), nil
	case waitingroom.PatientCalled:
		return schema.PatientCalled(e), nil
	case waitingroom.PatientAbsentAtConsultation:
		return schema.PatientAbsentAtConsultation(e), nil
	case waitingroom.PatientAttentionCompleted:
		return schema.PatientAttentionCompleted(e), nil
	case waitingroom.ConsultingRoomActivated:
		return schema.ConsultingRoomActivated(e), nil
	case waitingroom.ConsultingRoomDeactivated:
		return schema.ConsultingRoomDeactivated(e), nil
	default:
		return nil, fmt.Errorf("event %T has no wire form", e)
	}
}

// fromWire converts a wire event to its domain form.
func fromWire(e schema.Event) (waitingroom.Event, error) {
	switch e := e.(type) {
	case schema.WaitingQueueCreated:
		return waitingroom.WaitingQueueCreated(e), nil
	case schema.PatientCheckedIn:
		return waitingroom.PatientCheckedIn(e), nil
	case schema.PatientCalledAtCashier:
		return waitingroom.PatientCalledAtCashier(e), nil
	case schema.PatientPaymentValidated:
		return waitingroom.PatientPaymentValidated(e), nil
	case schema.PatientPaymentPending:
		return waitingroom.PatientPaymentPending(e), nil
	case schema.PatientAbsentAtCashier:
		return waitingroom.PatientAbsentAtCashier(e), nil
	case schema.PatientCancelledByPayment:
		return waitingroom.PatientCancelledByPayment(e), nil
	case schema.PatientCancelledByAbsence:
		return waitingroom.PatientCancelledByAbsence(e), nil
	case schema.PatientClaimedForAttention:
		return waitingroom.PatientClaimedForAttention(e), nil
	case schema.PatientCalled:
		return waitingroom.PatientCalled(e), nil
	case schema.PatientAbsentAtConsultation:
		return waitingroom.PatientAbsentAtConsultation(e), nil
	case schema.PatientAttentionCompleted:
		return waitingroom.PatientAttentionCompleted(e), nil
	case schema.ConsultingRoomActivated:
		return waitingroom.ConsultingRoomActivated(e), nil
	case schema.ConsultingRoomDeactivated:
		return waitingroom.ConsultingRoomDeactivated(e), nil
	default:
		return nil, fmt.Errorf("wire event %T has no domain form", e)
	}
}

// fromStored reads a stored event.
func fromStored(name string, version int, payload []byte) (waitingroom.Event, error) {
	wire, err := schema.Decode(name, version, payload)
	if err != nil {
		return nil, err
	}
	return fromWire(wire)
}

func snapshotToWire(s waitingroom.Snapshot) schema.QueueSnapshot {
	wire := schema.QueueSnapshot{
		MaxCapacity: s.MaxCapacity, ActiveRooms: s.ActiveRooms, TicketDay: s.TicketDay, TicketsGiven: s.TicketsGiven,
	}
	for _, v := range s.Visits {
		wire.Visits = append(wire.Visits, schema.Visit{
			PatientID: v.PatientID, PatientName: v.PatientName, Priority: int(v.Priority), ConsultationType: v.ConsultationType,
			Arrival: v.Arrival, Status: string(v.Status), Place: v.Place, PaymentAttempts: v.PaymentAttempts,
			CashierAbsences: v.CashierAbsences, ConsultationAbsences: v.ConsultationAbsences,
		})
	}
	return wire
}

func visitFromWire(v schema.Visit) waitingroom.Visit {
	return waitingroom.Visit{
		PatientID: v.PatientID, PatientName: v.PatientName, Priority: waitingroom.Priority(v.Priority), ConsultationType: v.ConsultationType,
		Arrival: v.Arrival, Status: waitingroom.Status(v.Status), Place: v.Place, PaymentAttempts: v.PaymentAttempts,
		CashierAbsences: v.CashierAbsences, ConsultationAbsences: v.ConsultationAbsences,
	}
}
