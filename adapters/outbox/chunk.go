package outbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rlapp/rlapp/schema"
)

// A chunk is the payload of one of the relay's messages: the events of the rows
// that were read together. It is the moment of publication, then for each event
// its id, name, queue, headers as JSON and payload; each a length and that many
// bytes.

func encodeChunk(rows []*row, publishedAt time.Time) []byte {
	size := binary.MaxVarintLen64
	for _, r := range rows {
		size += len(r.EventID) + len(r.EventName) + len(r.AggregateID) + len(r.Metadata) + len(r.Payload) + 5*binary.MaxVarintLen32
	}
	chunk := binary.AppendVarint(make([]byte, 0, size), publishedAt.UnixNano())
	for _, r := range rows {
		chunk = appendField(chunk, r.EventID)
		chunk = appendField(chunk, r.EventName)
		chunk = appendField(chunk, r.AggregateID)
		chunk = appendField(chunk, r.Metadata)
		chunk = appendField(chunk, r.Payload)
	}
	return chunk
}

func appendField[T string | []byte](chunk []byte, field T) []byte {
	return append(binary.AppendUvarint(chunk, uint64(len(field))), field...)
}

// errNoChunk is returned for a payload that is not a chunk of a Subscriber.
var errNoChunk = errors.New("the message is no chunk of the outbox")

// decodeChunk returns the events of a chunk as messages. The events share the
// chunk's memory.
func decodeChunk(chunk []byte) ([]*message.Message, error) {
	nanoseconds, n := binary.Varint(chunk)
	if n <= 0 {
		return nil, errNoChunk
	}
	publishedAt := time.Unix(0, nanoseconds).UTC().Format(time.RFC3339Nano)
	var events []*message.Message
	for rest := chunk[n:]; len(rest) > 0; {
		var fields [5][]byte
		var err error
		for i := range fields {
			if fields[i], rest, err = cutField(rest); err != nil {
				return nil, err
			}
		}
		events = append(events, newEvent(fields, publishedAt))
	}
	return events, nil
}

func cutField(chunk []byte) (field, rest []byte, err error) {
	length, n := binary.Uvarint(chunk)
	if n <= 0 || length > uint64(len(chunk)-n) { //nolint:gosec // n is at most the length
		return nil, nil, errNoChunk
	}
	end := n + int(length) //nolint:gosec // it is at most the chunk's length
	return chunk[n:end:end], chunk[end:], nil
}

func newEvent(fields [5][]byte, publishedAt string) *message.Message {
	event := message.NewMessage(string(fields[0]), fields[4])
	if err := json.Unmarshal(fields[3], &event.Metadata); err != nil || event.Metadata == nil {
		event.Metadata = message.Metadata{} // a row written by hand; the columns say enough to route it
	}
	event.Metadata.Set(schema.HeaderEventName, string(fields[1]))
	event.Metadata.Set(schema.HeaderAggregateID, string(fields[2]))
	event.Metadata.Set(schema.HeaderPublishedAt, publishedAt)
	return event
}

// chunkError says which message could not be unpacked.
func chunkError(msg *message.Message, err error) error {
	return fmt.Errorf("unpack message %s: %w", msg.UUID, err)
}
