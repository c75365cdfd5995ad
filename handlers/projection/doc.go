// Package projection subscribes the projections of readmodel to the events, as
// handlers of a Watermill router with retry and poison middleware.
//
// On the way of a check-in it receives the event from the transport and hands it
// to readmodel, which updates the view. It imports handlers/catchup, handlers/poison,
// readmodel, schema, Watermill and Prometheus's client; app/server adds it to a router as
// a plugin, and faults knows it by the name of its queue.
package projection
