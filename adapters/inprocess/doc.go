// Package inprocess is a Watermill Pub/Sub within one process that bounds what
// is in flight and loses nothing while it is open. app/server imports it, as any
// program with a router may.
//
// On the way of a check-in it stands between the HTTP edge and handlers/command:
// it carries each command to the command router together with its context, in
// which the reply travels back. Watermill's GoChannel takes any number of
// messages, which a burst turns into memory, discards what nobody is subscribed
// to without an error, and discards what is in flight when it closes.
package inprocess
