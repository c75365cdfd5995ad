//go:build linux

package rabbitmqtest

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The thread that forked a child goes on when the child has ended: the kernel would
// kill whatever else was forked on it.
func TestAChildThatEndsTakesNoOtherAlong(t *testing.T) {
	ended := make(chan error, 1)
	var others [8]*exec.Cmd
	var forked, reaped sync.WaitGroup
	for i := range others {
		others[i] = exec.CommandContext(t.Context(), "sleep", "60")
		others[i].SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		forked.Add(1)
		go func() { // each on a thread of its own
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if err := others[i].Start(); err != nil {
				t.Error(err)
			}
			forked.Done()
			forked.Wait()
		}()
	}
	forked.Wait()
	for _, other := range others {
		reaped.Go(func() {
			select {
			case ended <- other.Wait():
			default:
			}
		})
	}
	for range 50 {
		child, err := start(nil, "", "/bin/true")
		if err != nil {
			t.Fatal(err)
		}
		<-child.done
	}
	select {
	case err := <-ended:
		t.Error("another child has ended:", err)
	case <-time.After(100 * time.Millisecond):
	}
	for _, other := range others {
		_ = other.Process.Kill()
	}
	reaped.Wait()
}
