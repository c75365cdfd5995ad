package embedded

import (
	"errors"
	"fmt"
	"strings"
)

// ErrStopped is returned by Restart and Kill after Stop.
var ErrStopped = errors.New("the private PostgreSQL is stopped")

// NotFoundError says that there are no PostgreSQL binaries to run.
type NotFoundError struct {
	// Tried tells for each place why nothing there could be used.
	Tried []string
	// Download is why fetching them failed; nil when that was not tried.
	Download error
}

func (e *NotFoundError) Error() string {
	var b strings.Builder
	b.WriteString("found no PostgreSQL to run. Provide one in one of these ways:\n" +
		"  1. install it: apt-get install postgresql\n" +
		"  2. point EventStore__ConnectionString at a running server\n" +
		"  3. start the stack's own, docker compose up -d postgres, and point EventStore__ConnectionString at it\n" +
		"Tried:")
	for _, place := range e.Tried {
		b.WriteString("\n  " + place)
	}
	if e.Download != nil {
		fmt.Fprintf(&b, "\n  download: %v", e.Download)
	}
	return b.String()
}

// Unwrap returns why the download failed.
func (e *NotFoundError) Unwrap() error { return e.Download }

// InUseError says that another process runs a server on the data directory.
type InUseError struct {
	DataDirectory string
	// PID of that process; 0 when it is not known.
	PID int
}

func (e *InUseError) Error() string {
	holder := "another process"
	if e.PID != 0 {
		holder = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("data directory %s is in use by %s: stop it, or use another data directory", e.DataDirectory, holder)
}

// VersionError says that the data are of a PostgreSQL major version of which
// there are no binaries. A server reads its own major version's data only.
type VersionError struct {
	DataDirectory string
	// Data is the major version of the data.
	Data string
	// Found lists the binaries that there are.
	Found []string
	// Download is why fetching the right ones failed; nil when that was not tried.
	Download error
}

func (e *VersionError) Error() string {
	msg := fmt.Sprintf("the data in %s are PostgreSQL %s's, but there is only %s: "+
		"install PostgreSQL %s (apt-get install postgresql-%s), move the data with pg_upgrade, or use another data directory",
		e.DataDirectory, e.Data, strings.Join(e.Found, ", "), e.Data, e.Data)
	if e.Download != nil {
		msg += fmt.Sprintf(" (download: %v)", e.Download)
	}
	return msg
}

// Unwrap returns why the download failed.
func (e *VersionError) Unwrap() error { return e.Download }
