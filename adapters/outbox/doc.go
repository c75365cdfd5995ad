// Package outbox is the relay's end at the database: a message.Subscriber over
// waiting_room_outbox, its retry schedule, and the numbers that operators watch.
//
// On the way of a check-in it comes right after the commit: it reads pending
// rows and emits them for Watermill's forwarder, which hands them to the
// transport. It imports schema, pgx and Watermill; app/server wires it.
package outbox
