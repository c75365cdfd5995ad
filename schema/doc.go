// Package schema holds the shapes that outlive a process: the SQL migrations,
// the versioned wire form of every event, and the headers of a message.
//
// readmodel, adapters/outbox, adapters/postgres, the handlers of events (poison,
// projection, plugin, plugins) and the mains may import it; it imports the standard
// library and the migration library only. On the way of a check-in it is the language
// between the writer of an event (adapters/postgres) and its readers (the
// relay, the projections and the teams' handlers).
package schema
