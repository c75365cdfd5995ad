// Package catchup looks at what the event store has had for a while, for those that learn
// of events from the transport: it may have lost some.
//
// On the way of a check-in it stands beside the transport, some seconds later. The package
// imports the standard library only; handlers/projection and handlers/plugin import it.
package catchup
