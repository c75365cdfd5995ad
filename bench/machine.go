package main

import (
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is what all processors of the machine have worked so far.
func processorTime() time.Duration {
	const tick = 10 * time.Millisecond // of /proc/stat, on every Linux that Go runs on
	fields := strings.Fields(strings.SplitN(read("/proc/stat"), "\n", 2)[0])
	var worked time.Duration
	for i, field := range fields {
		if i == 0 || i == 4 || i == 5 || i > 7 { // the name, idle, waiting for the disk, guests
			continue
		}
		ticks, _ := strconv.ParseInt(field, 10, 64)
		worked += time.Duration(ticks) * tick
	}
	return worked
}

// wakeUps are how long it takes to wake a thread on another processor and to be
// woken by it, in microseconds. An event is handed from thread to thread a dozen
// times, and in a virtual machine this is what an idle processor costs.
func wakeUps(n int) (latencies []float64) {
	var there, back [2]int
	if unix.Pipe(there[:]) != nil || unix.Pipe(back[:]) != nil {
		return nil
	}
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		onProcessor(1)
		one := make([]byte, 1)
		for range n {
			_, _ = unix.Read(there[0], one)
			_, _ = unix.Write(back[1], one)
		}
	}()
	asked := make(chan struct{})
	go func() { // on a goroutine whose thread ends with it, and with it the pinning
		defer close(asked)
		onProcessor(0)
		one := make([]byte, 1)
		for range n {
			begin := time.Now()
			_, _ = unix.Write(there[1], one)
			_, _ = unix.Read(back[0], one)
			latencies = append(latencies, float64(time.Since(begin).Nanoseconds())/1000)
		}
	}()
	<-asked
	<-echoed
	for _, fd := range append(there[:], back[:]...) {
		_ = unix.Close(fd)
	}
	return latencies
}

// onProcessor pins the calling goroutine for the rest of its life.
func onProcessor(number int) {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(number % runtime.NumCPU())
	_ = unix.SchedSetaffinity(0, &set)
}
