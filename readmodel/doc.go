// Package readmodel keeps the views that clients read: how each event changes
// them, how they are queried, and how they are rebuilt from the event store.
//
// On the way of a check-in it is the last step: handlers/projection hands it an
// event, and one transaction writes the view, the checkpoint and the lag. Then
// handlers/httpapi reads the view. It imports schema and pgx; the handlers and
// app/server import it.
package readmodel
