// Package embedded runs a private PostgreSQL as a child of this process, so that
// RLAPP works on a machine where nobody set up a database. app/server starts it
// when no connection string is configured, and postgrestest starts one for each
// test binary. It imports pgx and embedded-postgres.
//
// It stands below the way of a check-in: it only provides the server in which
// adapters/postgres commits.
//
// The server belongs to this process. It listens on loopback only, behind a
// random password, and ends with the process, even when that one is killed with
// SIGKILL (on Linux; elsewhere the next start ends it). A Ctrl-C in a terminal
// does not reach it, so that whoever uses it can end first. PostgreSQL refuses to
// run as root; started by root it runs as an unprivileged user.
package embedded
