// Package waitingroom is the domain: the Queue aggregate of a clinic's waiting
// room, its commands, its events and its rules.
//
// It is pure. It reads no clock, draws no random number and does no I/O: the
// time of a step arrives in its command, and identities are given by whoever
// stores the events. Every package may import it; it imports only the standard
// library.
//
// On the way of a check-in it stands between handlers/command, which loads a
// Queue from its events and asks it to decide, and adapters/postgres, which
// appends the events that it decided.
package waitingroom
