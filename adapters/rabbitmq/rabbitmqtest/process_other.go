//go:build unix && !linux

package rabbitmqtest

import "syscall"

// dieWithParent does nothing: only Linux ties a process to its parent. A killed
// test binary leaves its node running here.
func dieWithParent(*syscall.SysProcAttr) {}
