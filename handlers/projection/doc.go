// Package projection subscribes the projections of readmodel to the events, as
// handlers of a Watermill router with retry and poison middleware.
//
// On the way of a check-in it receives the event from the transport and hands it
// to readmodel, which updates the view. It imports readmodel, schema and
// Watermill; app/server adds it to a router as a plugin.
package projection
