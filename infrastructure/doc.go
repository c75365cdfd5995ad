// Package infrastructure reads what this folder ships for the machinery around a check-in: the dashboards, alert rules
// and queries by which operators see an event's way from the outbox to the views.
//
// The files themselves are the product; the package is there so that tests can hold them to the metrics that the
// services really expose. Tests alone may import it.
package infrastructure
