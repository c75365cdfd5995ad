package main

import "fmt"

// fate is what is to become of a patient.
type fate struct {
	name string
	// cashierAbsences, payments and roomAbsences are how often the patient does not come
	// to the desk, cannot pay, and does not come to the room.
	cashierAbsences, pendings, roomAbsences int
	// ends is the status of the last step.
	ends string
}

// fates are all branches of the journey.
var fates = []fate{
	{name: "sees the doctor", ends: "completed"},
	{name: "misses the desk once", cashierAbsences: 1, ends: "completed"},
	{name: "misses the desk twice", cashierAbsences: 2, ends: "completed"},
	{name: "misses the desk three times", cashierAbsences: 3, ends: "cancelled-absence"},
	{name: "pays at the second attempt", pendings: 1, ends: "completed"},
	{name: "pays at the fourth attempt", pendings: 3, ends: "completed"},
	{name: "cannot pay", pendings: 4, ends: "cancelled-payment"},
	{name: "misses the room once", roomAbsences: 1, ends: "completed"},
	{name: "misses the room twice", roomAbsences: 2, ends: "cancelled-absence"},
	{name: "misses desk and room", cashierAbsences: 1, pendings: 2, roomAbsences: 1, ends: "completed"},
}

// person is a patient of the day.
type person struct {
	fate
	id, fullName, priority string
	age                    *int
	pregnant               bool
	// What has happened so far.
	awayFromDesk, unpaid, awayFromRoom int
}

func patientsOf(n int) []*person {
	priorities := []string{"LOW", "MEDIUM", "HIGH", "URGENT"}
	all := make([]*person, n)
	for i := range all {
		p := &person{
			fate: fates[i%len(fates)], id: fmt.Sprintf("patient-%02d", i+1), fullName: fmt.Sprintf("Patient %d of the Day", i+1),
			priority: priorities[i*7%len(priorities)], pregnant: i%11 == 5,
		}
		if i%6 == 4 {
			age := 8 + 70*(i%2)
			p.age = &age
		}
		all[i] = p
	}
	return all
}
