package httpapi

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/waitingroom"
)

type checkInBody struct {
	QueueID          string `json:"queueId" minLength:"1" maxLength:"128" doc:"The queue; its first check-in creates it." example:"queue-1"`
	PatientID        string `json:"patientId" minLength:"1" maxLength:"128" doc:"The patient." example:"patient-1"`
	PatientName      string `json:"patientName" minLength:"1" maxLength:"200" doc:"Shown to staff only." example:"John Doe"`
	Priority         string `json:"priority" doc:"Low, Medium, High or Urgent, in any case. Pregnancy, an age under 18 or over 65 raise it to High." example:"HIGH"`
	ConsultationType string `json:"consultationType" minLength:"2" maxLength:"100" doc:"What the patient comes for." example:"Cardiology"`
	Age              *int   `json:"age,omitempty" minimum:"0" maximum:"150" doc:"Age in years." example:"42"`
	IsPregnant       bool   `json:"isPregnant,omitempty" doc:"Whether the patient is pregnant." example:"false"`
	Notes            string `json:"notes,omitempty" maxLength:"1000" doc:"Free text for the staff." example:"wheelchair"`
	Actor            string `json:"actor,omitempty" maxLength:"128" doc:"Who checks the patient in; anonymous unless given." example:"reception-1"`
}

func (b checkInBody) actor() (string, bool) { return b.Actor, false }

func (b checkInBody) command() waitingroom.CheckIn {
	return waitingroom.CheckIn{
		QueueID: b.QueueID, PatientID: b.PatientID, PatientName: b.PatientName, Priority: b.Priority,
		ConsultationType: b.ConsultationType, Notes: b.Notes, Age: b.Age, Pregnant: b.IsPregnant,
	}
}

func (a *api) receptionRoutes(h huma.API) {
	registerCommand[checkInBody](a, h, commandRoute{
		id: "check-in", path: "/api/waiting-room/check-in", aliasID: "register", aliasPath: "/api/reception/register",
		tag: "Reception", summary: "Check a patient in", message: "patient checked in",
		description: "Stores the check-in and answers once it is safe on disk. The views follow within milliseconds.",
	})
}
