package process_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/rlapp/rlapp/bench/process"
)

// A child is to die with this process, and the kernel takes the thread that forked it
// for that. Threads end while the process lives: with goroutines that end locked.
func TestAChildOutlivesThreads(t *testing.T) {
	var children []*process.Process
	for range 4 {
		child, err := process.Start(t.Context(), nil, "sh", "-c", "echo at work; exec sleep 60")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = child.Kill() })
		children = append(children, child)
	}
	endThreads()
	for _, child := range children {
		if err := child.Ended(); err != nil {
			t.Error(err)
		}
	}
}

// endThreads lets goroutines take all idle threads and end them.
func endThreads() {
	var here, ended sync.WaitGroup
	here.Add(50)
	for range 50 {
		ended.Go(func() {
			runtime.LockOSThread()
			here.Done()
			here.Wait()
		})
	}
	ended.Wait()
	<-time.After(100 * time.Millisecond) // the kernel tells nobody that a thread is gone
}

func TestAChildThatCannotStart(t *testing.T) {
	for _, program := range []string{"/nowhere", "false"} {
		if _, err := process.Start(t.Context(), nil, program); err == nil {
			t.Errorf("%s has started", program)
		}
	}
}
