package main_test

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// BenchmarkLag sends check-ins at a steady rate through three processes and
// RabbitMQ, and reports the lag from the check-in to the read model, in
// milliseconds, as event_processing_lag has it (the slowest projection counts):
//
//	go test -run '^$' -bench BenchmarkLag -benchtime 3000x ./app
func BenchmarkLag(b *testing.B) {
	for _, rate := range []int{100, 200} {
		b.Run(fmt.Sprintf("%d-per-second", rate), func(b *testing.B) { measureLag(b, rate) })
	}
}

func measureLag(b *testing.B, rate int) {
	quiet := append(services(b), "WaitingRoom__MaxCapacity=100000", "Logging__Level=info")
	projections := run(b, quiet, "projections").started()
	worker := run(b, quiet, "worker").started()
	api := run(b, quiet, "api").started()
	checkIn := func(n int) {
		body := fmt.Sprintf(`{"queueId":"queue-%d","patientId":"patient-%d","patientName":"Perpetua Testname","priority":"low","consultationType":"X-ray"}`, (n+crashQueues*2)%crashQueues, n)
		if status, answer, err := api.post("/api/waiting-room/check-in", body); err != nil || status != 200 {
			b.Errorf("check-in %d: %d %v %v", n, status, answer, err)
		}
	}
	// Connections, plans and caches are made by the first events.
	const warmUp = 100
	for n := range warmUp {
		checkIn(-n - 1)
	}
	from := time.Now().UTC().Format(time.RFC3339Nano)
	b.ResetTimer()
	var clients sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for n := range b.N {
		<-tick.C
		clients.Go(func() { checkIn(n) })
	}
	clients.Wait()
	b.StopTimer()
	eventually(b, func() error {
		_, lag := api.get("/api/metrics/lag?eventName=PatientCheckedIn&from=" + from)
		statistics := lag["statistics"].([]any)[0].(map[string]any)
		if int(statistics["processedCount"].(float64)) != b.N {
			return fmt.Errorf("processed %v of %d", statistics["processedCount"], b.N)
		}
		b.ReportMetric(statistics["p50LagMs"].(float64), "p50-ms")
		b.ReportMetric(statistics["p99LagMs"].(float64), "p99-ms")
		b.ReportMetric(statistics["maxLagMs"].(float64), "max-ms")
		return nil
	})
	for _, p := range []*process{api, worker, projections} {
		p.terminate()
	}
}
