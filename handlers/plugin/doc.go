// Package plugin is the seam for teams: a typed function becomes a handler with
// a durable queue of its own, retry, poison handling, metrics and logs.
//
// On the way of a check-in a plugin stands beside the projections: it receives
// each event from the transport, after the commit. Over RabbitMQ it can hold
// nothing up but its own queue; on the embedded default the relay waits for every
// handler, so a slow one slows all. What a handler has missed it is sent from the event
// store (CatchUp). The package imports handlers/catchup, handlers/poison, schema,
// Watermill, pgx and Prometheus's client; plugins and the mains (app with app/server, and
// faults) import it.
//
// To add one: write a package below handlers/plugins that returns a Plugin, and
// list it in app/plugins.go.
package plugin
