package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// UnknownEventError is returned for an event name that this build does not know.
type UnknownEventError struct{ Name string }

func (e *UnknownEventError) Error() string {
	return fmt.Sprintf("unknown event %q: this build is older than the one that wrote it; deploy the newer build", e.Name)
}

// UnknownVersionError is returned for a wire version that this build cannot read.
type UnknownVersionError struct {
	Name    string
	Version int
}

func (e *UnknownVersionError) Error() string {
	return fmt.Sprintf("event %q has wire version %d, this build reads up to %d; deploy the newer build",
		e.Name, e.Version, CurrentVersion(e.Name))
}

// PayloadError is returned for a payload that is not the event it claims to be.
type PayloadError struct {
	Name string
	Err  error
}

func (e *PayloadError) Error() string {
	return fmt.Sprintf("payload of event %q cannot be read: %v", e.Name, e.Err)
}

// Unwrap returns the decoder's error.
func (e *PayloadError) Unwrap() error { return e.Err }

// wireForm is the newest version of an event and how to read it.
type wireForm struct {
	decode func([]byte) (Event, error)
	// upcasters turn a payload of each earlier version, from the first, into one of the
	// version behind it.
	upcasters []upcaster
}

func (f wireForm) version() int { return len(f.upcasters) + 1 }

var wireForms = map[string]wireForm{}

// register adds an event to the catalogue. Its version is one more than the number of
// upcasters.
func register[E Event](upcasters ...upcaster) {
	var zero E
	wireForms[zero.EventName()] = wireForm{upcasters: upcasters, decode: func(payload []byte) (Event, error) {
		var e E
		err := json.Unmarshal(payload, &e)
		return e, err
	}}
}

func init() {
	register[WaitingQueueCreated]()
	register[PatientCheckedIn](withoutTicket)
	register[PatientCalledAtCashier]()
	register[PatientPaymentValidated]()
	register[PatientPaymentPending]()
	register[PatientAbsentAtCashier]()
	register[PatientCancelledByPayment]()
	register[PatientCancelledByAbsence]()
	register[PatientClaimedForAttention]()
	register[PatientCalled]()
	register[PatientAbsentAtConsultation]()
	register[PatientAttentionCompleted]()
	register[ConsultingRoomActivated]()
	register[ConsultingRoomDeactivated]()
}

// EventNames lists every event of the catalogue, sorted.
func EventNames() []string {
	names := make([]string, 0, len(wireForms))
	for name := range wireForms {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// CurrentVersion is the wire version that this build writes for an event, or 0
// for a name that it does not know.
func CurrentVersion(name string) int {
	form, known := wireForms[name]
	if !known {
		return 0
	}
	return form.version()
}

// Encode returns the JSON payload of an event at its current version.
func Encode(e Event) ([]byte, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return nil, &PayloadError{Name: e.EventName(), Err: err}
	}
	return payload, nil
}

// Decode reads a stored payload of the given wire version; version 0, as in a
// row written by hand, stands for the first.
//
// It returns *UnknownEventError, *UnknownVersionError or *PayloadError. None of
// them goes away by trying again.
func Decode(name string, version int, payload []byte) (Event, error) {
	form, known := wireForms[name]
	if !known {
		return nil, &UnknownEventError{Name: name}
	}
	if version < 0 || version > form.version() {
		return nil, &UnknownVersionError{Name: name, Version: version}
	}
	payload, err := upcast(payload, form.upcasters[max(version, 1)-1:])
	if err != nil {
		return nil, &PayloadError{Name: name, Err: err}
	}
	e, err := form.decode(payload)
	if err != nil {
		return nil, &PayloadError{Name: name, Err: err}
	}
	if e.Aggregate() == "" {
		return nil, &PayloadError{Name: name, Err: errors.New("queueId is missing")}
	}
	return e, nil
}

// Unreadable reports whether err says that an event cannot be read by this
// build however often it is tried.
func Unreadable(err error) bool {
	var (
		name    *UnknownEventError
		version *UnknownVersionError
		payload *PayloadError
		header  *HeaderError
	)
	return errors.As(err, &name) || errors.As(err, &version) || errors.As(err, &payload) || errors.As(err, &header)
}
