package rabbitmq_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/adapters/rabbitmq"
)

func TestMarshalSetsTheProperties(t *testing.T) {
	msg := message.NewMessage("id-1", []byte(`{"a":1}`))
	msg.Metadata = message.Metadata{
		"correlation_id": "c-1", "event_name": "PatientCheckedIn",
		"redelivered": "true", "x-delivery-count": "3", // of an earlier journey
	}
	got, err := rabbitmq.Marshaler{}.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(got.Timestamp); age < 0 || age > time.Minute {
		t.Errorf("the timestamp is %s", got.Timestamp)
	}
	got.Timestamp = time.Time{}
	want := amqp.Publishing{
		Headers: amqp.Table{
			"_watermill_message_uuid": "id-1", "correlation_id": "c-1", "event_name": "PatientCheckedIn",
		},
		ContentType: "application/json", DeliveryMode: amqp.Persistent,
		MessageId: "id-1", CorrelationId: "c-1", Body: []byte(`{"a":1}`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnmarshalTakesAnyHeader(t *testing.T) {
	moment := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	got, err := rabbitmq.Marshaler{}.Unmarshal(amqp.Delivery{
		DeliveryTag: 1, Redelivered: true, MessageId: "id-2", Body: []byte("x"),
		Headers: amqp.Table{
			"string": "s", "bytes": []byte("b"), "bool": true, "int32": int32(-7), "int64": int64(1 << 40),
			"uint8": uint8(8), "float": 0.5, "time": moment, "x-delivery-count": int64(2),
			"nothing": nil, "table": amqp.Table{"a": "b"}, "list": []any{"a"}, "x-death": []any{amqp.Table{"count": int64(1)}},
			"decimal": amqp.Decimal{Scale: 1, Value: 2}, "_watermill_message_uuid": int32(1),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := message.Metadata{
		"string": "s", "bytes": "b", "bool": "true", "int32": "-7", "int64": "1099511627776", "uint8": "8",
		"float": "0.5", "time": "2026-03-01T12:00:00Z", "x-delivery-count": "2", "redelivered": "true",
	}
	if diff := cmp.Diff(want, got.Metadata); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if got.UUID != "id-2" || string(got.Payload) != "x" {
		t.Errorf("got message %q with payload %q", got.UUID, got.Payload)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	if _, err := (rabbitmq.Marshaler{}).Unmarshal(amqp.Delivery{}); !errors.Is(err, rabbitmq.ErrNoDelivery) {
		t.Errorf("an empty delivery: got %v, want ErrNoDelivery", err)
	}
	_, err := rabbitmq.Marshaler{}.Unmarshal(amqp.Delivery{DeliveryTag: 1, Body: []byte("x")})
	if bad := (*rabbitmq.MessageError)(nil); !errors.As(err, &bad) {
		t.Errorf("a message without an id: got %v, want *MessageError", err)
	}
}
