package schema

import (
	"fmt"
	"strconv"
	"time"
)

// The headers of a message. They carry no personal data: what is known about a
// patient stays in the payload, and the actor stays in the store.
const (
	HeaderEventName     = "event_name"
	HeaderAggregateID   = "aggregate_id"
	HeaderVersion       = "version"
	HeaderOccurredAt    = "occurred_at"
	HeaderCorrelationID = "correlation_id"
	HeaderCausationID   = "causation_id"
	HeaderSchemaVersion = "schema_version"
	HeaderLane          = "lane"
	HeaderPublishedAt   = "published_at"
)

// HeaderReplayFor names the handler that a message is replayed to, where the transport
// has no queue for it alone; the others leave it.
const HeaderReplayFor = "replay_for"

// HeaderMissed is "true" on a message that was made of a stored event for one plugin's
// handler, since it was not done with the event. Where it is by now, it leaves the message.
const HeaderMissed = "missed"

// The headers of a message that a handler gave up, beside Watermill's own. They never
// travel.
const (
	HeaderPoisonTries = "tries_poisoned"
	HeaderPoisonStack = "stack_poisoned"
)

// Headers returns the headers of the message that carries an event. The relay
// adds HeaderPublishedAt when it hands the message to the transport.
func Headers(name string, m Metadata) map[string]string {
	h := map[string]string{
		HeaderEventName:     name,
		HeaderAggregateID:   m.AggregateID,
		HeaderVersion:       strconv.FormatInt(m.Version, 10),
		HeaderOccurredAt:    m.OccurredAt.UTC().Format(time.RFC3339Nano),
		HeaderCorrelationID: m.CorrelationID,
		HeaderSchemaVersion: strconv.Itoa(m.SchemaVersion),
		HeaderLane:          strconv.Itoa(Lane(m.AggregateID)),
	}
	if m.CausationID != "" {
		h[HeaderCausationID] = m.CausationID
	}
	return h
}

// HeaderError is returned for a message whose headers do not describe an event.
type HeaderError struct{ Header, Value string }

func (e *HeaderError) Error() string {
	return fmt.Sprintf("header %q of the message has the unusable value %q", e.Header, e.Value)
}

// DecodeMessage reads an event from a message's id, headers and payload. Besides
// the errors of Decode it returns *HeaderError.
func DecodeMessage(id string, headers map[string]string, payload []byte) (Recorded, error) {
	version, err := strconv.ParseInt(headers[HeaderVersion], 10, 64)
	if err != nil || version < 1 {
		return Recorded{}, &HeaderError{Header: HeaderVersion, Value: headers[HeaderVersion]}
	}
	wireVersion, err := strconv.Atoi(headers[HeaderSchemaVersion])
	if err != nil {
		return Recorded{}, &HeaderError{Header: HeaderSchemaVersion, Value: headers[HeaderSchemaVersion]}
	}
	occurredAt, err := time.Parse(time.RFC3339Nano, headers[HeaderOccurredAt])
	if err != nil {
		return Recorded{}, &HeaderError{Header: HeaderOccurredAt, Value: headers[HeaderOccurredAt]}
	}
	publishedAt, err := time.Parse(time.RFC3339Nano, headers[HeaderPublishedAt])
	if err != nil {
		publishedAt = occurredAt
	}
	event, err := Decode(headers[HeaderEventName], wireVersion, payload)
	if err != nil {
		return Recorded{}, err
	}
	if event.Aggregate() != headers[HeaderAggregateID] {
		return Recorded{}, &HeaderError{Header: HeaderAggregateID, Value: headers[HeaderAggregateID]}
	}
	return Recorded{
		Event:       event,
		PublishedAt: publishedAt,
		Metadata: Metadata{
			EventID:       id,
			AggregateID:   headers[HeaderAggregateID],
			Version:       version,
			OccurredAt:    occurredAt,
			CorrelationID: headers[HeaderCorrelationID],
			CausationID:   headers[HeaderCausationID],
			SchemaVersion: wireVersion,
		},
	}, nil
}
