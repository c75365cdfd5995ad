// Package config is how operators set a process up: by the environment names of
// the guide, such as EventStore__ConnectionString, and by a file in the form of
// its appsettings.json. docs/configuration.md is written from it.
//
// No check-in passes through it: it is read once, before a process starts.
// app/main and app/server import it; it imports no other package of the module.
package config

//go:generate go test -run TestPage -update .
