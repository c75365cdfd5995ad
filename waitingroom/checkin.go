package waitingroom

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The lengths and ranges that a check-in keeps to. Lengths are in characters.
const (
	// MaxIDLength bounds every identifier that a client chooses.
	MaxIDLength = 128
	// MaxNameLength bounds a patient's name.
	MaxNameLength = 200
	// MinConsultationTypeLength and MaxConsultationTypeLength bound the type of consultation.
	MinConsultationTypeLength = 2
	MaxConsultationTypeLength = 100
	// MaxNotesLength bounds the free notes.
	MaxNotesLength = 1000
	// MaxAge is the highest age that is accepted, in years.
	MaxAge = 150
	// DefaultMaxCapacity is the capacity of a queue unless configured otherwise.
	DefaultMaxCapacity = 100
)

// CheckIn is the command that puts a patient into a queue.
type CheckIn struct {
	// QueueID names the queue; its first check-in creates it.
	QueueID string
	// PatientID identifies the patient within the queue.
	PatientID string
	// PatientName is shown to staff only.
	PatientName string
	// Priority is a priority's name; see ParsePriority.
	Priority string
	// ConsultationType is what the patient comes for, such as "Cardiology".
	ConsultationType string
	// Notes are free text; line breaks are allowed.
	Notes string
	// Age in years, where it is known.
	Age *int
	// Pregnant raises the priority to High at least.
	Pregnant bool
	// At is the moment of the check-in.
	At time.Time
}

// Normalised returns the command with blanks around its fields removed. It
// returns *Error with CodeInvalid that names every field which breaks a rule of form.
func (c CheckIn) Normalised() (CheckIn, error) {
	c, _, invalid := c.normalised()
	if invalid != nil {
		return c, invalid
	}
	return c, nil
}

func (c CheckIn) normalised() (CheckIn, Priority, *Error) {
	var v validation
	c.QueueID = v.identifier("queueId", c.QueueID)
	c.PatientID = v.identifier("patientId", c.PatientID)
	c.PatientName = v.line("patientName", c.PatientName, 1, MaxNameLength)
	c.ConsultationType = v.line("consultationType", c.ConsultationType, MinConsultationTypeLength, MaxConsultationTypeLength)
	c.Notes = v.text("notes", c.Notes, MaxNotesLength)
	if c.Age != nil && (*c.Age < 0 || *c.Age > MaxAge) {
		v.add("age", "must be between 0 and 150")
	}
	priority, err := ParsePriority(c.Priority)
	if err != nil {
		v.add("priority", err.Error())
	}
	return c, effectivePriority(priority, c.Age, c.Pregnant), v.err()
}

// validation collects what is wrong with the fields of one command.
type validation struct{ fields []FieldError }

func (v *validation) add(field, message string) {
	v.fields = append(v.fields, FieldError{Field: field, Message: message})
}

func (v *validation) err() *Error {
	if len(v.fields) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Message: "the command breaks the rules of its fields", Fields: v.fields}
}

func (v *validation) identifier(field, value string) string {
	return v.line(field, value, 1, MaxIDLength)
}

func (v *validation) line(field, value string, minLength, maxLength int) string {
	return v.check(field, strings.TrimSpace(value), minLength, maxLength, unicode.IsControl)
}

func (v *validation) text(field, value string, maxLength int) string {
	return v.check(field, strings.TrimSpace(value), 0, maxLength, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
	})
}

func (v *validation) check(field, value string, minLength, maxLength int, forbidden func(rune) bool) string {
	length := utf8.RuneCountInString(value)
	switch {
	case !utf8.ValidString(value):
		v.add(field, "must be valid UTF-8")
	case length == 0 && minLength > 0:
		v.add(field, "is required")
	case length < minLength || length > maxLength:
		v.add(field, lengthRule(minLength, maxLength))
	case strings.IndexFunc(value, forbidden) >= 0:
		v.add(field, "must not contain control characters")
	}
	return value
}
