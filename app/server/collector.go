package server

import (
	"os"
	"runtime/debug"
)

// collectorPercent lets the heap grow to five times what lives in it before it is
// collected. A process holds some tens of megabytes and makes garbage with every
// request, so with Go's default it collected many times a second: that took a
// fifth of the check-ins.
const collectorPercent = 400

// tuneCollector leaves alone what the operator set in GOGC.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectorPercent)
	}
}
