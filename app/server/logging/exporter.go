package logging

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	sdklog "go.opentelemetry.io/otel/sdk/log"
)

// exporter tells of failures on the local log, seldom, instead of through
// OpenTelemetry's global error handler. Its calls come one at a time, from the
// goroutine of the batch processor.
type exporter struct {
	next   sdklog.Exporter
	client *http.Client
	local  *slog.Logger

	running context.Context // ends requests that nobody waits for any more
	stop    context.CancelFunc
	done    chan struct{} // closed at the end of that goroutine
	once    sync.Once

	failing bool
	silent  time.Time // until then
	failure error     // of the last request
}

// Export sends records; they are lost where it fails.
func (e *exporter) Export(ctx context.Context, records []sdklog.Record) error {
	if len(records) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.running, cancel)()
	e.failure = e.next.Export(ctx, records)
	switch now := time.Now(); {
	case e.failure == nil && e.failing:
		e.failing = false
		e.local.Info("Seq takes logs again", ComponentKey, "Logging")
	case e.failure != nil && now.After(e.silent):
		e.failing, e.silent = true, now.Add(complainEvery)
		e.local.Warn("Seq takes no logs; they are here only until it does", ComponentKey, "Logging",
			"records", len(records), "error", e.failure)
	}
	return nil
}

// ForceFlush does nothing: nothing is kept here.
func (e *exporter) ForceFlush(context.Context) error { return nil }

// Shutdown is the last call of the batch processor's goroutine.
func (e *exporter) Shutdown(ctx context.Context) error {
	defer e.once.Do(func() { close(e.done) })
	return e.next.Shutdown(ctx)
}
