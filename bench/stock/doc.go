// Package stock is the peer: the pipeline that Watermill's documentation shows. One
// transaction inserts the event and publishes it with the SQL publisher through the
// forwarder's, the forwarder relays it with the SQL subscriber, and a router handler
// on AMQP's durable Pub/Sub makes one upsert.
//
// It follows the forwarder's and the SQL and AMQP Pub/Subs' pages on
// https://watermill.io, with default schema and offsets. The one change is
// ConfirmDelivery: without it a message that the broker never stored counts as
// published. Tuned polls every 5 ms, reads 1,000 rows at once, publishes on 8 pooled
// channels and prefetches 500 messages.
package stock
