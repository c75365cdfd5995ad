// Package rabbitmq is the transport between processes: a Watermill Publisher and
// Subscriber over RabbitMQ that lose nothing, keep the order of a queue, and say
// precisely what went wrong.
//
// On the way of a check-in it stands between the relay, which publishes what it
// reads from the outbox, and the projections and teams' handlers, which consume
// it. It imports Watermill and the AMQP client only; app/server wires it.
//
// A Watermill topic is a durable topic exchange of that name. Each consumer
// group has a durable quorum queue "<exchange>.<group>" with one active consumer
// at a time, and for what it cannot take a second one,
// "<exchange>.dead.<group>", behind the exchange "<exchange>.dead".
//
// The configuration speaks the language of watermill-amqp, and its topology
// builder and marshaler do the plain part of the work. Its Publisher and
// Subscriber are not used: they await confirms one by one, ignore messages that
// no queue takes, cannot read the integer headers of a redelivery, and hang when
// the broker runs low on memory.
package rabbitmq
