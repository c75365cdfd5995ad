// Package httpapi is the HTTP edge: routes, validation and problem details.
//
// A check-in enters RLAPP here. The package checks the form of a request, sends
// a command on the command bus, reads views from readmodel, and maps every error
// to its HTTP answer in one place (problem.go). It imports handlers/command,
// handlers/poison, readmodel and waitingroom, beside huma and chi; only app/server imports
// it.
package httpapi
