package schema

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// ArchivedEvent is a stored event in the archive: the row of waiting_room_events as it
// was.
type ArchivedEvent struct {
	Position  int64           `json:"position"`
	Version   int64           `json:"version"`
	EventID   string          `json:"eventId"`
	EventName string          `json:"eventName"`
	Payload   json.RawMessage `json:"payload"`
	Metadata  json.RawMessage `json:"metadata"`
	CreatedAt time.Time       `json:"createdAt"`
}

// EncodeArchive compresses events of one queue: gzip of one JSON object a line.
func EncodeArchive(events []ArchivedEvent) ([]byte, error) {
	var content bytes.Buffer
	compressed := gzip.NewWriter(&content)
	lines := json.NewEncoder(compressed)
	for _, e := range events {
		if err := lines.Encode(e); err != nil {
			return nil, fmt.Errorf("archive event %s: %w", e.EventID, err)
		}
	}
	if err := compressed.Close(); err != nil {
		return nil, fmt.Errorf("compress an archive: %w", err)
	}
	return content.Bytes(), nil
}

// DecodeArchive returns what EncodeArchive compressed.
func DecodeArchive(content []byte) (events []ArchivedEvent, err error) {
	compressed, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("decompress an archive: %w", err)
	}
	for lines := json.NewDecoder(compressed); ; {
		var e ArchivedEvent
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			return events, nil
		} else if err != nil {
			return nil, fmt.Errorf("read an archive: %w", err)
		}
		events = append(events, e)
	}
}
