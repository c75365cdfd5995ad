package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// dieWithParent makes the kernel signal the child when the thread that started it
// ends.
func dieWithParent(attr *syscall.SysProcAttr, s syscall.Signal) { attr.Pdeathsig = s }

// serves tells whether a process is a PostgreSQL server on the data. The error
// says that there is no such process or that it cannot be told.
func serves(pid int, data string) (bool, error) {
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return false, err
	}
	// A server runs in its data directory.
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return false, err
	}
	// An upgrade of the package replaces the program under a running server.
	program = strings.TrimSuffix(filepath.Base(program), " (deleted)")
	return program == "postgres" && cwd == data, nil
}
