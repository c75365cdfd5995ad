// Package postgres keeps the events: the event store, the outbox writer, the lag
// rows of new events, the store of poisoned messages, and what plugins
// are done with, have missed, or are sent once more.
//
// It owns the transaction of a check-in: event, outbox row and lag row commit
// together or not at all. Only app/server wires it; handlers see it through the
// interfaces they define themselves. It imports waitingroom, schema, pgx and
// watermill-sql.
package postgres
