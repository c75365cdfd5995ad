package schema

import (
	"encoding/json"
	"errors"
)

// upcaster turns the payload of one version of an event into the next version's: so
// that only the newest form has a type, and old events are never rewritten.
type upcaster func(fields map[string]json.RawMessage)

// upcast applies upcasters one after the other.
func upcast(payload []byte, upcasters []upcaster) ([]byte, error) {
	if len(upcasters) == 0 {
		return payload, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil {
		return nil, err
	}
	if fields == nil {
		return nil, errors.New("not a JSON object")
	}
	for _, up := range upcasters {
		up(fields)
	}
	return json.Marshal(fields)
}

// withoutTicket makes version 2 of PatientCheckedIn of version 1, from before tickets
// were given. No number is invented: the patient holds no ticket that shows it.
func withoutTicket(fields map[string]json.RawMessage) {
	for _, name := range []string{"ticketNumber", "ticketDay"} {
		if _, given := fields[name]; !given { // a row written by hand may have the fields, and no version
			fields[name] = json.RawMessage(`""`)
		}
	}
}
