package rabbitmq_test

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/adapters/rabbitmq"
	"github.com/rlapp/rlapp/schema"
)

// Whatever is on the wire becomes a message or an error, and a message that can be
// decoded keeps its content.
func FuzzUnmarshal(f *testing.F) {
	f.Add("0197c1a0-0000-7000-8000-000000000001", schema.HeaderEventName, "PatientCheckedIn", int64(1), true, []byte(`{"queueId":"q"}`))
	f.Add("", "", "", int64(0), false, []byte(nil))
	f.Add("\x00", schema.HeaderVersion, "99999999999999999999", int64(-1), true, []byte("{"))
	f.Fuzz(func(t *testing.T, id, name, text string, number int64, both bool, body []byte) {
		headers := amqp.Table{name: text, "number": number, "nested": amqp.Table{name: []any{text, number, both}}}
		if both {
			headers[name] = number
		}
		msg, err := rabbitmq.Marshaler{}.Unmarshal(amqp.Delivery{MessageId: id, Headers: headers, Body: body})
		if err != nil {
			return
		}
		if string(msg.Payload) != string(body) {
			t.Fatalf("the payload %q became %q", body, msg.Payload)
		}
		_, _ = schema.DecodeMessage(msg.UUID, msg.Metadata, msg.Payload)
	})
}
