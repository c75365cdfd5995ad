package readmodel

import (
	"fmt"
	"time"
)

// assumedConsultation is how long a consultation is taken to be until a queue has a
// pace of its own.
const assumedConsultation = 15 * time.Minute

// Ahead is a patient who comes before another one.
type Ahead struct {
	PresentPatient
	// Reason says why, for a person.
	Reason string
}

// Place is where a patient is in the line, and why.
type Place struct {
	PresentPatient
	// Ahead are those who come before, the first to be called first. It is empty once the
	// consultation has begun.
	Ahead []Ahead
	// Estimate is how long it takes until the consultation begins; 0 once it has.
	Estimate time.Duration
	// Basis says how the estimate was made, for a person.
	Basis string
}

// PlaceOf tells where a patient is in the line. It returns *NotFoundError for one who is
// not there.
func (v QueueStateView) PlaceOf(patientID string) (Place, error) {
	for i, p := range v.Patients {
		if p.PatientID == patientID {
			return v.place(i), nil
		}
	}
	return Place{}, &NotFoundError{Kind: KindPatient, ID: patientID}
}

// Places are those of all patients, in their order.
func (v QueueStateView) Places() []Place {
	places := make([]Place, len(v.Patients))
	for i := range v.Patients {
		places[i] = v.place(i)
	}
	return places
}

func (v QueueStateView) place(i int) Place {
	p := v.Patients[i]
	place := Place{PresentPatient: p}
	if p.Status == "in-consultation" || p.Status == "called" {
		place.Basis = "it is the patient's turn"
		return place
	}
	for _, other := range v.Patients {
		if other.Status == "called" {
			place.Ahead = append(place.Ahead, Ahead{other, fmt.Sprintf("is called to %s already", other.Place)})
		}
	}
	called := len(place.Ahead)
	for _, other := range v.Patients[:i] {
		if comesFirst(other, p) {
			place.Ahead = append(place.Ahead, Ahead{other, reason(other, p)})
		}
	}
	place.Estimate, place.Basis = v.estimate(len(place.Ahead) - called)
	return place
}

// comesFirst reports whether one who ranks before another is in the way: who waits for
// the doctor is not held up by those who have yet to pay.
func comesFirst(other, p PresentPatient) bool {
	switch other.Status {
	case "waiting-consultation":
		return true
	case "waiting-cashier", "at-cashier", "payment-pending":
		return p.Status != "waiting-consultation"
	}
	return false
}

func reason(other, p PresentPatient) string {
	if other.Priority == p.Priority {
		return fmt.Sprintf("has the same priority %s and came earlier", p.Priority)
	}
	return fmt.Sprintf("has priority %s, which goes before %s", other.Priority, p.Priority)
}

// estimate is the time until the next but so many can begin. Who is called begins now,
// and takes a room.
func (v QueueStateView) estimate(ahead int) (time.Duration, string) {
	active, free := 0, 0
	for _, r := range v.Rooms {
		if r.IsActive {
			active++
			if !v.taken(r.RoomID) {
				free++
			}
		}
	}
	every, basis := v.Pace.Every, fmt.Sprintf("%d consultations began in the last hour, one every %.1f min", v.Pace.Begun, v.Pace.Every.Minutes())
	switch {
	case v.Pace.Begun >= 2:
	case active == 0:
		every, basis = assumedConsultation, "no consulting room is active, so one room with 15 min a consultation is assumed"
	default:
		every = assumedConsultation / time.Duration(active)
		basis = fmt.Sprintf("fewer than two consultations began in the last hour, so 15 min each in %d rooms are assumed", active)
	}
	turns := max(0, ahead+1-free)
	return time.Duration(turns) * every, fmt.Sprintf("%d to be called before, %d of %d rooms free; %s", ahead, free, active, basis)
}

func (v QueueStateView) taken(roomID string) bool {
	for _, p := range v.Patients {
		if p.Place == roomID && (p.Status == "called" || p.Status == "in-consultation") {
			return true
		}
	}
	return false
}
