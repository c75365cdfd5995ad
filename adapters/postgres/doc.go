// Package postgres keeps the events: the event store, the outbox writer, the lag
// rows of new events, and the store of poisoned messages.
//
// It owns the transaction of a check-in: event, outbox row and lag row commit
// together or not at all. Only app/server wires it; handlers see it through the
// interfaces they define themselves. It imports waitingroom, schema, pgx and
// watermill-sql.
package postgres
