// Package waitingroom is the domain: the Queue aggregate of a clinic's waiting
// room, its commands, its events and its rules.
//
// It is pure. It reads no clock, draws no random number and does no I/O: the
// time of a step arrives in its command, and identities are given by whoever
// stores the events. It imports only the standard library.
// handlers/command, handlers/httpapi, adapters/postgres and the mains may import it; the
// others know its events by package schema.
//
// On the way of a check-in it stands between handlers/command, which loads a
// Queue from its events and asks it to decide, and adapters/postgres, which
// appends the events that it decided.
package waitingroom
