// Package triage is the reference plugin: it tells the staff's log when an
// urgent patient checks in. Copy it to start one of your own.
//
// It comes after the commit of a check-in, beside the projections. Only
// app/plugins.go imports it.
package triage
