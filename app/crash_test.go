package main_test

import (
	"fmt"
	"sync"
	"testing"
)

const (
	crashCheckIns = 1000
	crashClients  = 10
	crashQueues   = 50
)

// Any one of the three processes is killed in the middle of 1,000 check-ins and
// started again: every acknowledged check-in is in the read model exactly once.
func TestKillingAnyProcessLosesAndDoublesNothing(t *testing.T) {
	for _, victim := range []string{"api", "worker", "projections"} {
		t.Run(victim, func(t *testing.T) {
			env := append(services(t), "WaitingRoom__MaxCapacity=1000")
			processes := map[string]*process{}
			for _, name := range []string{"api", "worker", "projections"} {
				processes[name] = run(t, env, name).started()
			}
			load := newLoad(processes["api"])
			load.send(0, crashCheckIns/2, func(done int) {
				if done == crashCheckIns/4 {
					processes[victim].kill()
				}
			})
			processes[victim] = run(t, env, victim).started()
			load.api = processes["api"]
			load.send(crashCheckIns/2, crashCheckIns, nil)
			load.verify(t)
			for _, name := range []string{"api", "worker", "projections"} {
				processes[name].terminate()
			}
		})
	}
}

// load sends check-ins and remembers which were acknowledged.
type load struct {
	api *process

	mu            sync.Mutex
	done          int
	acknowledged  map[string]bool // by patient
	indeterminate map[string]bool
}

func newLoad(api *process) *load {
	return &load{api: api, acknowledged: map[string]bool{}, indeterminate: map[string]bool{}}
}

func queueOf(n int) string { return fmt.Sprintf("queue-%02d", n%crashQueues) }

// send checks the patients from one number up to, not including, another in.
// Each is acknowledged, or gets no answer from a process that was killed; any
// other answer is an error.
func (l *load) send(from, to int, after func(done int)) {
	numbers := make(chan int)
	var clients sync.WaitGroup
	for range crashClients {
		clients.Go(func() {
			for n := range numbers {
				l.checkIn(n, after)
			}
		})
	}
	for n := from; n < to; n++ {
		numbers <- n
	}
	close(numbers)
	clients.Wait()
}

func (l *load) checkIn(n int, after func(done int)) {
	patient := fmt.Sprintf("patient-%04d", n)
	body := fmt.Sprintf(`{"queueId":%q,"patientId":%q,"patientName":"Perpetua Testname","priority":"low","consultationType":"X-ray"}`,
		queueOf(n), patient)
	status, _, err := l.api.post("/api/waiting-room/check-in", body)
	l.mu.Lock()
	switch {
	case err != nil:
		l.indeterminate[patient] = true
	case status == 200:
		l.acknowledged[patient] = true
	default:
		l.api.t.Errorf("the check-in of %s was answered with %d", patient, status)
	}
	l.done++
	done := l.done
	l.mu.Unlock()
	if after != nil {
		after(done)
	}
}

// verify waits until the read model shows each acknowledged check-in once, and
// no patient who was neither acknowledged nor left without an answer.
func (l *load) verify(t *testing.T) {
	t.Helper()
	if len(l.acknowledged) < crashCheckIns/2 {
		t.Fatalf("only %d of %d check-ins were acknowledged", len(l.acknowledged), crashCheckIns)
	}
	eventually(t, func() error { return l.compare() })
	t.Logf("%d acknowledged, %d without an answer", len(l.acknowledged), len(l.indeterminate))
}

func (l *load) compare() error {
	seen := map[string]int{}
	waiting := 0
	for q := range crashQueues {
		status, state := l.api.get("/api/v1/waiting-room/" + queueOf(q) + "/queue-state")
		if status != 200 {
			return fmt.Errorf("%s: %v", queueOf(q), state)
		}
		for _, p := range state["patientsInQueue"].([]any) {
			seen[p.(map[string]any)["patientId"].(string)]++
		}
		_, monitor := l.api.get("/api/v1/waiting-room/" + queueOf(q) + "/monitor")
		waiting += int(monitor["totalPatientsWaiting"].(float64))
	}
	for patient := range l.acknowledged {
		if seen[patient] != 1 {
			return fmt.Errorf("%s was acknowledged and is in the queue state %d times", patient, seen[patient])
		}
	}
	for patient := range seen {
		if !l.acknowledged[patient] && !l.indeterminate[patient] {
			return fmt.Errorf("%s is in the queue state and was refused", patient)
		}
	}
	if waiting != len(seen) {
		return fmt.Errorf("the monitor counts %d patients, the queue state %d", waiting, len(seen))
	}
	return nil
}
