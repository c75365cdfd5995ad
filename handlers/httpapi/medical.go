package httpapi

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/waitingroom"
)

type callNextForConsultationBody struct {
	OfQueue
	StationID string `json:"stationId" minLength:"1" maxLength:"128" doc:"The consulting room; it has to be active and free." example:"room-1"`
}

func (b callNextForConsultationBody) command() waitingroom.CallNextForConsultation {
	return waitingroom.CallNextForConsultation{QueueID: b.QueueID, StationID: b.StationID}
}

// OfRoom is a command about a consulting room of a queue.
type OfRoom struct {
	OfQueue
	ConsultingRoomID string `json:"consultingRoomId" minLength:"1" maxLength:"128" doc:"The consulting room." example:"room-1"`
}

type activateRoomBody struct{ OfRoom }

func (b activateRoomBody) command() waitingroom.ActivateConsultingRoom {
	return waitingroom.ActivateConsultingRoom{QueueID: b.QueueID, ConsultingRoomID: b.ConsultingRoomID}
}

type deactivateRoomBody struct{ OfRoom }

func (b deactivateRoomBody) command() waitingroom.DeactivateConsultingRoom {
	return waitingroom.DeactivateConsultingRoom{QueueID: b.QueueID, ConsultingRoomID: b.ConsultingRoomID}
}

type startConsultationBody struct{ OfPatient }

func (b startConsultationBody) command() waitingroom.StartConsultation {
	return waitingroom.StartConsultation{QueueID: b.QueueID, PatientID: b.PatientID}
}

type finishConsultationBody struct {
	OfPatient
	Outcome string `json:"outcome,omitempty" maxLength:"200" doc:"A few words." example:"treated"`
	Notes   string `json:"notes,omitempty" maxLength:"1000" doc:"Free text for the staff." example:"come again in May"`
}

func (b finishConsultationBody) command() waitingroom.FinishConsultation {
	return waitingroom.FinishConsultation{QueueID: b.QueueID, PatientID: b.PatientID, Outcome: b.Outcome, Notes: b.Notes}
}

type absentAtConsultationBody struct{ OfPatient }

func (b absentAtConsultationBody) command() waitingroom.MarkAbsentAtConsultation {
	return waitingroom.MarkAbsentAtConsultation{QueueID: b.QueueID, PatientID: b.PatientID}
}

func (a *api) medicalRoutes(h huma.API) {
	notFound := []int{http.StatusNotFound}
	registerCommand[activateRoomBody](a, h, commandRoute{
		id: "activate-consulting-room", path: "/api/medical/consulting-room/activate", tag: "Medical",
		summary: "Open a consulting room", message: "consulting room activated", refusals: notFound,
		description: "Patients can be called to it from then on.",
	})
	registerCommand[deactivateRoomBody](a, h, commandRoute{
		id: "deactivate-consulting-room", path: "/api/medical/consulting-room/deactivate", tag: "Medical",
		summary: "Close a consulting room", message: "consulting room deactivated", refusals: notFound,
		description: "Refused while a patient is called to it or in it.",
	})
	registerCommand[callNextForConsultationBody](a, h, commandRoute{
		id: "medical-call-next", path: "/api/medical/call-next", aliasID: "claim-next", aliasPath: "/api/waiting-room/claim-next", tag: "Medical",
		summary: "Call the next patient to a consulting room", message: "patient called to the consulting room", refusals: notFound,
		description: "Chooses the highest priority, then who came first. Two rooms that call at once never get the same patient.",
	})
	registerCommand[startConsultationBody](a, h, commandRoute{
		id: "start-consultation", path: "/api/medical/start-consultation", aliasID: "call-patient", aliasPath: "/api/waiting-room/call-patient", tag: "Medical",
		summary: "Start the consultation of a patient who came", message: "consultation started", refusals: notFound,
	})
	registerCommand[finishConsultationBody](a, h, commandRoute{
		id: "finish-consultation", path: "/api/medical/finish-consultation", aliasID: "complete-attention", aliasPath: "/api/waiting-room/complete-attention", tag: "Medical",
		summary: "End a consultation, and with it the visit", message: "consultation finished", refusals: notFound,
		description: "The room is free.",
	})
	registerCommand[absentAtConsultationBody](a, h, commandRoute{
		id: "medical-mark-absent", path: "/api/medical/mark-absent", tag: "Medical",
		summary: "Note that a patient did not come to the consulting room", message: "patient marked absent", refusals: notFound,
		description: "The room is free, and the patient keeps the place in the line; the second absence ends the visit.",
	})
}
