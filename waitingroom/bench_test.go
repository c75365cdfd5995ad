package waitingroom_test

import (
	"strconv"
	"testing"

	"github.com/rlapp/rlapp/waitingroom"
)

// BenchmarkQueueCheckIn decides and applies one check-in on a queue with patients;
// it must not depend on how many there are.
func BenchmarkQueueCheckIn(b *testing.B) {
	for _, present := range []int{0, 1000, 100_000} {
		b.Run(strconv.Itoa(present), func(b *testing.B) {
			queue := waitingroom.Replay(created(1 << 30))
			for n := range present {
				queue.Apply(waitingroom.PatientCheckedIn{PatientID: "present-" + strconv.Itoa(n)})
			}
			command := checkIn(nil)
			b.ReportAllocs()
			for b.Loop() {
				events, err := queue.Decide(command)
				if err != nil {
					b.Fatal(err)
				}
				queue.Apply(events...)
				queue.Apply(waitingroom.PatientAttentionCompleted{PatientID: command.PatientID})
			}
		})
	}
}
