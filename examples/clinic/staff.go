package main

import (
	"context"
	"errors"

	"github.com/rlapp/rlapp/client"
)

// desk calls patients until the last has left.
func (d *day) desk(ctx context.Context, id string) error {
	return d.callAll(ctx, func() (string, error) {
		answer, err := client.Accepted(d.api.CashierCallNextWithResponse(ctx, nil, client.CashierCallNextJSONRequestBody{
			QueueId: d.options.queue, CashierDeskId: &id, Actor: &id,
		}))
		if err != nil {
			return "", unlessNobodyWaits(err)
		}
		return deref(answer.JSON200.PatientId), nil
	}, func(p *person) error { return d.serveAtDesk(ctx, id, p) })
}

// room opens a consulting room, calls patients until the last has left, and closes it.
func (d *day) room(ctx context.Context, id string) error {
	_, err := client.Accepted(d.api.ActivateConsultingRoomWithResponse(ctx, nil, client.ActivateConsultingRoomJSONRequestBody{
		QueueId: d.options.queue, ConsultingRoomId: id, Actor: &id,
	}))
	if err != nil {
		return err
	}
	err = d.callAll(ctx, func() (string, error) {
		answer, err := client.Accepted(d.api.MedicalCallNextWithResponse(ctx, nil, client.MedicalCallNextJSONRequestBody{
			QueueId: d.options.queue, StationId: id, Actor: &id,
		}))
		if err != nil {
			return "", unlessNobodyWaits(err)
		}
		return deref(answer.JSON200.PatientId), nil
	}, func(p *person) error { return d.serveInRoom(ctx, id, p) })
	if err != nil {
		return err
	}
	_, err = client.Accepted(d.api.DeactivateConsultingRoomWithResponse(ctx, nil, client.DeactivateConsultingRoomJSONRequestBody{
		QueueId: d.options.queue, ConsultingRoomId: id, Actor: &id,
	}))
	return err
}

// callAll calls and serves patients; while nobody waits it looks whether the day is over.
func (d *day) callAll(ctx context.Context, call func() (patientID string, err error), serve func(*person) error) error {
	for {
		if err := d.rest(ctx); err != nil {
			return err
		}
		patientID, err := call()
		if err != nil {
			return err
		}
		if patientID != "" {
			if err := serve(d.person(patientID)); err != nil {
				return err
			}
			continue
		}
		if over, err := d.gone(ctx); over || err != nil {
			return err
		}
	}
}

// unlessNobodyWaits drops the refusal to call somebody where nobody waits.
func unlessNobodyWaits(err error) error {
	var refused *client.Problem
	if errors.As(err, &refused) && refused.Code == "nobody_waiting" {
		return nil
	}
	return err
}

// serveAtDesk does what the patient's fate is at a desk.
func (d *day) serveAtDesk(ctx context.Context, desk string, p *person) error {
	if d.once(&p.awayFromDesk, p.cashierAbsences) {
		_, err := client.Accepted(d.api.CashierMarkAbsentWithResponse(ctx, nil, client.CashierMarkAbsentJSONRequestBody{
			QueueId: d.options.queue, PatientId: p.id, Actor: &desk,
		}))
		return err
	}
	for d.once(&p.unpaid, min(p.pendings, 3)) {
		if err := d.rest(ctx); err != nil {
			return err
		}
		_, err := client.Accepted(d.api.MarkPaymentPendingWithResponse(ctx, nil, client.MarkPaymentPendingJSONRequestBody{
			QueueId: d.options.queue, PatientId: p.id, Actor: &desk, Reason: ref("card refused"),
		}))
		if err != nil {
			return err
		}
	}
	if p.pendings > 3 {
		_, err := client.Accepted(d.api.CancelPaymentWithResponse(ctx, nil, client.CancelPaymentJSONRequestBody{
			QueueId: d.options.queue, PatientId: p.id, Actor: &desk, Reason: ref("card refused"),
		}))
		return err
	}
	_, err := client.Accepted(d.api.ValidatePaymentWithResponse(ctx, nil, client.ValidatePaymentJSONRequestBody{
		QueueId: d.options.queue, PatientId: p.id, Actor: &desk, PaymentReference: ref("till-" + p.id),
	}))
	return err
}

// serveInRoom does what the patient's fate is at a consulting room.
func (d *day) serveInRoom(ctx context.Context, room string, p *person) error {
	if d.once(&p.awayFromRoom, p.roomAbsences) {
		_, err := client.Accepted(d.api.MedicalMarkAbsentWithResponse(ctx, nil, client.MedicalMarkAbsentJSONRequestBody{
			QueueId: d.options.queue, PatientId: p.id, Actor: &room,
		}))
		return err
	}
	_, err := client.Accepted(d.api.StartConsultationWithResponse(ctx, nil, client.StartConsultationJSONRequestBody{
		QueueId: d.options.queue, PatientId: p.id, Actor: &room,
	}))
	if err != nil {
		return err
	}
	if err := d.rest(ctx); err != nil {
		return err
	}
	_, err = client.Accepted(d.api.FinishConsultationWithResponse(ctx, nil, client.FinishConsultationJSONRequestBody{
		QueueId: d.options.queue, PatientId: p.id, Actor: &room, Outcome: ref("treated"),
	}))
	return err
}
