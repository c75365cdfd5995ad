package main

import (
	"context"
	"net/http"

	"github.com/rlapp/rlapp/client"
)

// desk calls patients until the last has left.
func (d *day) desk(ctx context.Context, id string) error {
	return d.callAll(ctx, func() (string, error) {
		answer, err := d.api.CashierCallNextWithResponse(ctx, nil, client.CashierCallNextJSONRequestBody{
			QueueId: d.options.queue, CashierDeskId: &id, Actor: &id,
		})
		if err != nil {
			return "", err
		}
		return chosen("call to a desk", answer.HTTPResponse, answer.Body, answer.JSON200)
	}, func(p *person) error { return d.serveAtDesk(ctx, id, p) })
}

// room opens a consulting room, calls patients until the last has left, and closes it.
func (d *day) room(ctx context.Context, id string) error {
	opened, err := d.api.ActivateConsultingRoomWithResponse(ctx, nil, client.ActivateConsultingRoomJSONRequestBody{
		QueueId: d.options.queue, ConsultingRoomId: id, Actor: &id,
	})
	if err != nil {
		return err
	}
	if err := accepted("open a room", opened.HTTPResponse, opened.Body); err != nil {
		return err
	}
	err = d.callAll(ctx, func() (string, error) {
		answer, err := d.api.MedicalCallNextWithResponse(ctx, nil, client.MedicalCallNextJSONRequestBody{
			QueueId: d.options.queue, StationId: id, Actor: &id,
		})
		if err != nil {
			return "", err
		}
		return chosen("call to a room", answer.HTTPResponse, answer.Body, answer.JSON200)
	}, func(p *person) error { return d.serveInRoom(ctx, id, p) })
	if err != nil {
		return err
	}
	closed, err := d.api.DeactivateConsultingRoomWithResponse(ctx, nil, client.DeactivateConsultingRoomJSONRequestBody{
		QueueId: d.options.queue, ConsultingRoomId: id, Actor: &id,
	})
	if err != nil {
		return err
	}
	return accepted("close a room", closed.HTTPResponse, closed.Body)
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

// chosen is who was called; "" where nobody waits.
func chosen(what string, response *http.Response, body []byte, result *client.CommandResult) (string, error) {
	if response.StatusCode == http.StatusConflict {
		return "", nil
	}
	if result == nil || result.PatientId == nil {
		return "", accepted(what, response, body)
	}
	return *result.PatientId, nil
}

// serveAtDesk does what the patient's fate is at a desk.
func (d *day) serveAtDesk(ctx context.Context, desk string, p *person) error {
	if d.once(&p.awayFromDesk, p.cashierAbsences) {
		answer, err := d.api.CashierMarkAbsentWithResponse(ctx, nil, client.CashierMarkAbsentJSONRequestBody{
			QueueId: d.options.queue, PatientId: p.id, Actor: &desk,
		})
		if err != nil {
			return err
		}
		return accepted("mark absent", answer.HTTPResponse, answer.Body)
	}
	for d.once(&p.unpaid, min(p.pendings, 3)) {
		if err := d.rest(ctx); err != nil {
			return err
		}
		answer, err := d.api.MarkPaymentPendingWithResponse(ctx, nil, client.MarkPaymentPendingJSONRequestBody{
			QueueId: d.options.queue, PatientId: p.id, Actor: &desk, Reason: ref("card refused"),
		})
		if err != nil {
			return err
		}
		if err := accepted("mark a payment pending", answer.HTTPResponse, answer.Body); err != nil {
			return err
		}
	}
	if p.pendings > 3 {
		answer, err := d.api.CancelPaymentWithResponse(ctx, nil, client.CancelPaymentJSONRequestBody{
			QueueId: d.options.queue, PatientId: p.id, Actor: &desk, Reason: ref("card refused"),
		})
		if err != nil {
			return err
		}
		return accepted("cancel a visit", answer.HTTPResponse, answer.Body)
	}
	answer, err := d.api.ValidatePaymentWithResponse(ctx, nil, client.ValidatePaymentJSONRequestBody{
		QueueId: d.options.queue, PatientId: p.id, Actor: &desk, PaymentReference: ref("till-" + p.id),
	})
	if err != nil {
		return err
	}
	return accepted("take a payment", answer.HTTPResponse, answer.Body)
}

// serveInRoom does what the patient's fate is at a consulting room.
func (d *day) serveInRoom(ctx context.Context, room string, p *person) error {
	if d.once(&p.awayFromRoom, p.roomAbsences) {
		answer, err := d.api.MedicalMarkAbsentWithResponse(ctx, nil, client.MedicalMarkAbsentJSONRequestBody{
			QueueId: d.options.queue, PatientId: p.id, Actor: &room,
		})
		if err != nil {
			return err
		}
		return accepted("mark absent", answer.HTTPResponse, answer.Body)
	}
	started, err := d.api.StartConsultationWithResponse(ctx, nil, client.StartConsultationJSONRequestBody{
		QueueId: d.options.queue, PatientId: p.id, Actor: &room,
	})
	if err != nil {
		return err
	}
	if err := accepted("start a consultation", started.HTTPResponse, started.Body); err != nil {
		return err
	}
	if err := d.rest(ctx); err != nil {
		return err
	}
	finished, err := d.api.FinishConsultationWithResponse(ctx, nil, client.FinishConsultationJSONRequestBody{
		QueueId: d.options.queue, PatientId: p.id, Actor: &room, Outcome: ref("treated"),
	})
	if err != nil {
		return err
	}
	return accepted("finish a consultation", finished.HTTPResponse, finished.Body)
}
