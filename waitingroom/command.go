package waitingroom

import (
	"strings"
	"unicode/utf8"
)

// The lengths that the fields of commands keep to, in characters.
const (
	// MaxIDLength bounds every identifier that a client chooses.
	MaxIDLength = 128
	// MaxNameLength bounds a patient's name.
	MaxNameLength = 200
	// MinConsultationTypeLength and MaxConsultationTypeLength bound the type of consultation.
	MinConsultationTypeLength = 2
	MaxConsultationTypeLength = 100
	// MaxNotesLength bounds free notes and reasons.
	MaxNotesLength = 1000
	// MaxReferenceLength bounds a payment's reference and a consultation's outcome.
	MaxReferenceLength = 200
)

// Command is a step that somebody asks a queue to take. The types of this package
// that have the method are all there are.
type Command interface {
	// CommandName names the command in topics and metrics, such as "check-in". It is
	// public API.
	CommandName() string
	// Aggregate is the id of the queue.
	Aggregate() string
	// normalise returns the command without blanks around its fields, and adds what is
	// wrong with them.
	normalise(v *validation) Command
	// decide is given a normalised command.
	decide(q *Queue) ([]Event, error)
}

// Normalised returns a command with blanks around its fields removed. It returns
// *Error with CodeInvalid that names every field which breaks a rule of form.
func Normalised[C Command](c C) (C, error) {
	var v validation
	normal, _ := c.normalise(&v).(C)
	return normal, v.err()
}

// Decide lets the queue decide on a command. It changes nothing: the caller stores
// the events and then applies them. It returns *Error where the queue refuses.
func (q *Queue) Decide(c Command) ([]Event, error) {
	var v validation
	c = c.normalise(&v)
	if err := v.err(); err != nil {
		return nil, err
	}
	return c.decide(q)
}

// validation collects what is wrong with the fields of one command.
type validation struct{ fields []FieldError }

func (v *validation) add(field, message string) {
	v.fields = append(v.fields, FieldError{Field: field, Message: message})
}

func (v *validation) err() error {
	if len(v.fields) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Message: "the command breaks the rules of its fields", Fields: v.fields}
}

func (v *validation) identifier(field, value string) string {
	return v.name(field, value, 1)
}

// name is an id, of minLength runes at least.
func (v *validation) name(field, value string, minLength int) string {
	return v.check(field, value, minLength, MaxIDLength, NameFault)
}

func (v *validation) line(field, value string, minLength, maxLength int) string {
	return v.check(field, value, minLength, maxLength, LineFault)
}

func (v *validation) notes(field, value string) string {
	return v.check(field, value, 0, MaxNotesLength, TextFault)
}

// check returns a value without blanks around it.
func (v *validation) check(field, value string, minLength, maxLength int, faultOf func(string) string) string {
	value = strings.TrimSpace(value)
	length := utf8.RuneCountInString(value)
	switch wrong := faultOf(value); {
	case length == 0 && minLength > 0:
		v.add(field, "is required")
	case length < minLength || length > maxLength:
		v.add(field, lengthRule(minLength, maxLength))
	case wrong != "":
		v.add(field, wrong)
	}
	return value
}
