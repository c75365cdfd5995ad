package postgrestest

import (
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// settled is the age from which on a directory's lock tells whether it is in use.
// A younger one may not have been locked yet.
const settled = time.Minute

const directoryPrefix = "rlapp-postgrestest-"

func newDirectory() (string, error) { return os.MkdirTemp("", directoryPrefix) }

// removeAbandoned removes the directories of test binaries that were killed, such
// as by a timeout. A server's directory holds a lock while its owner lives.
func removeAbandoned() {
	locks, _ := filepath.Glob(filepath.Join(os.TempDir(), directoryPrefix+"*", "lock")) // fails for a malformed pattern only
	for _, path := range locks {
		lock, err := os.Open(path)
		if err != nil {
			continue // another user's, or gone
		}
		info, err := lock.Stat()
		if err != nil || time.Since(info.ModTime()) < settled {
			_ = lock.Close()
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(filepath.Dir(path)) // what is not ours stays
		}
		_ = lock.Close()
	}
}
