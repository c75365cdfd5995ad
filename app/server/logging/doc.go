// Package logging makes the logger of a process: lines on standard error, and
// where Seq is configured the same records there, over OTLP.
//
// No check-in passes through it, but each leaves its correlation id in the
// records that it causes. app/main and app/server import it; the other packages
// get a *slog.Logger.
package logging
