// Package server is RLAPP's runtime: it wires the packages into processes and
// runs them. A team's own main can call it as app/main.go does.
//
// On the way of a check-in it carries nothing itself: it starts the servers,
// routers and listeners in the order in which an event travels backwards, and
// stops them in the order in which it travels forwards, so that what is in
// flight finishes. It may import everything; only a main imports it.
package server
