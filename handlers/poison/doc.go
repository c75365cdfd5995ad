// Package poison surrounds the handlers of events with retry, and sets aside what they
// keep failing on, so that it holds nothing else up and can be replayed.
//
// On the way of a check-in it stands between the transport and a handler. It imports
// schema and Watermill; handlers/projection, handlers/plugin, handlers/httpapi and
// app/server import it.
package poison
