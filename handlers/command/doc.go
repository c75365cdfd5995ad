// Package command carries commands to the domain: a Bus on the caller's side, a
// Watermill router in between, and one file a use case that loads, decides and
// appends.
//
// On the way of a check-in it stands between handlers/httpapi, which sends on
// the Bus, and the event store. It imports waitingroom and Watermill, and
// defines the EventStore that it needs; app/server passes the real one.
package command
