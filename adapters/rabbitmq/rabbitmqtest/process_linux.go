package rabbitmqtest

import "syscall"

// dieWithParent makes the kernel kill a process when the thread that started it
// ends, so that even a killed test binary leaves nothing behind.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
