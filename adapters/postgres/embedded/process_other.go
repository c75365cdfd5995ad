//go:build unix && !linux

package embedded

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent does nothing: only Linux ties a process to its parent. A server
// whose parent was killed is ended by the next start.
func dieWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// serves tells whether a process is a PostgreSQL server on the data. The error
// says that there is no such process or that it cannot be told.
func serves(pid int, data string) (bool, error) {
	command, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return false, err
	}
	return strings.Contains(string(command), "postgres -D "+data), nil
}
