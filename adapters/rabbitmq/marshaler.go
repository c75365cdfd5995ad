package rabbitmq

import (
	"fmt"
	"time"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// RedeliveredKey is the metadata key that is "true" on a message that was
	// handed out before. It never travels.
	RedeliveredKey = "redelivered"

	eventNameKey   = "event_name"
	laneKey        = "lane"
	correlationKey = "correlation_id"

	// deliveryCountKey is the broker's own header of a redelivered message.
	deliveryCountKey = "x-delivery-count"
)

const (
	// maxShort is the longest short string of AMQP in bytes: a name, a key or a
	// property. The client library ends the connection over a longer one.
	maxShort = 255
	// maxHeaders bounds a message's metadata in bytes. It travels in one frame,
	// which RabbitMQ limits to 128 KiB by default.
	maxHeaders = 120 << 10
)

// Marshaler turns Watermill's messages into AMQP's and back. The zero value is
// ready for use, and is safe for concurrent use.
type Marshaler struct{}

var _ wamqp.Marshaler = Marshaler{}

// Marshal returns a persistent message with the id in the header that stock
// Watermill uses and in the property message_id, metadata correlation_id in the
// property of that name, and content type application/json. It returns
// *MessageError for a message without an id and for metadata that AMQP cannot
// carry.
func (Marshaler) Marshal(msg *message.Message) (amqp.Publishing, error) {
	if msg.UUID == "" || len(msg.UUID) > maxShort {
		return amqp.Publishing{}, &MessageError{msg.UUID, fmt.Sprintf("its id must have from 1 to %d bytes", maxShort)}
	}
	size := 0
	for key, value := range msg.Metadata {
		if len(key) > maxShort {
			return amqp.Publishing{}, &MessageError{msg.UUID, fmt.Sprintf("the metadata key %q is too long", key)}
		}
		size += len(key) + len(value)
	}
	if size > maxHeaders {
		return amqp.Publishing{}, &MessageError{msg.UUID, fmt.Sprintf("%d bytes of metadata are too many", size)}
	}
	return wamqp.DefaultMarshaler{PostprocessPublishing: setProperties}.Marshal(msg)
}

func setProperties(p amqp.Publishing) amqp.Publishing {
	delete(p.Headers, RedeliveredKey)
	delete(p.Headers, deliveryCountKey)
	p.MessageId, _ = p.Headers[wamqp.DefaultMessageUUIDHeaderKey].(string)
	// Metadata still carries a correlation id that the property cannot hold.
	if id, _ := p.Headers[correlationKey].(string); len(id) <= maxShort {
		p.CorrelationId = id
	}
	p.ContentType = "application/json"
	p.Timestamp = time.Now()
	return p
}

// Unmarshal reads a message. Headers of any scalar type become text, as the
// integers that quorum queues add; tables and lists are left out. It returns
// ErrNoDelivery for an empty delivery, and *MessageError for a message without
// an id: what consumes it could not tell it from its duplicate.
func (Marshaler) Unmarshal(d amqp.Delivery) (*message.Message, error) {
	if d.DeliveryTag == 0 && d.MessageId == "" && len(d.Headers) == 0 && len(d.Body) == 0 {
		return nil, ErrNoDelivery
	}
	id, ok := d.Headers[wamqp.DefaultMessageUUIDHeaderKey].(string)
	if !ok || id == "" {
		id = d.MessageId
	}
	if id == "" {
		return nil, &MessageError{Reason: "it has no id"}
	}
	msg := message.NewMessage(id, d.Body)
	for key, value := range d.Headers {
		if s, ok := text(value); ok && key != wamqp.DefaultMessageUUIDHeaderKey {
			msg.Metadata.Set(key, s)
		}
	}
	delete(msg.Metadata, RedeliveredKey)
	if d.Redelivered {
		msg.Metadata.Set(RedeliveredKey, "true")
	}
	return msg, nil
}

// text is a scalar header value as metadata.
func text(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), true
	case bool, int8, uint8, int16, uint16, int32, uint32, int64, uint64, int, uint, float32, float64:
		return fmt.Sprint(v), true
	default:
		return "", false
	}
}

// routingKey is "<event name>.<lane>", or the topic for a message that has not
// both.
func routingKey(topic string, msg *message.Message) string {
	name, lane := msg.Metadata.Get(eventNameKey), msg.Metadata.Get(laneKey)
	if name == "" || lane == "" {
		return topic
	}
	return name + "." + lane
}
