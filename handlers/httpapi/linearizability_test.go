package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rlapp/rlapp/waitingroom"
)

// operation is what one client asks of a queue.
type operation struct {
	read    bool
	patient int
}

// answered is what it is told.
type answered struct {
	status  int
	version int64
}

// held is the queue of the model: its version and who is there.
type held struct {
	version  int64
	patients string // one byte each
}

const linearPatients = 2 * waitingroom.DefaultMaxCapacity

// queueModel is what a queue does, one operation after another: who is there is
// refused, and so is everybody once it is full.
var queueModel = porcupine.Model{
	Init: func() any { return held{patients: strings.Repeat("-", linearPatients)} },
	Step: func(state, input, output any) (bool, any) {
		q, op, got := state.(held), input.(operation), output.(answered)
		if op.read {
			return got.version == q.version, q
		}
		full := strings.Count(q.patients, "x") >= waitingroom.DefaultMaxCapacity
		if q.patients[op.patient] == 'x' || full {
			return got.status == http.StatusConflict, q
		}
		if q.version == 0 {
			q.version = 1 // the queue's creation
		}
		q.version++
		q.patients = q.patients[:op.patient] + "x" + q.patients[op.patient+1:]
		return got.status == http.StatusOK && got.version == q.version, q
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// The history of one queue, as eight clients see it, is one that a queue could have
// which does one thing after another.
func TestAQueueIsLinearizable(t *testing.T) {
	f := newFixture(t)
	const clients, operations, seeds = 8, 500, 20
	// The default transport keeps two connections to a host, and would open one for most requests.
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	t.Cleanup(client.CloseIdleConnections)
	for seed := range uint64(seeds) {
		queue := fmt.Sprintf("linear-%d", seed)
		var (
			mu      sync.Mutex
			history []porcupine.Operation
			group   sync.WaitGroup
		)
		for id := range clients {
			random := rand.New(rand.NewPCG(seed, uint64(id)))
			group.Go(func() {
				for range operations {
					op := operation{read: random.IntN(10) == 0, patient: random.IntN(linearPatients)}
					called := time.Now().UnixNano()
					got := ask(t, client, f.url, queue, op)
					returned := time.Now().UnixNano()
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: id, Input: op, Call: called, Output: got, Return: returned})
					mu.Unlock()
				}
			})
		}
		group.Wait()
		if result := porcupine.CheckOperationsTimeout(queueModel, history, time.Minute); result != porcupine.Ok {
			t.Fatalf("seed %d: the history of %d operations is %v", seed, len(history), result)
		}
	}
}

// The checker finds what is wrong: a patient who is checked in twice.
func TestTheLinearizabilityCheckFindsADouble(t *testing.T) {
	twice := []porcupine.Operation{
		{ClientId: 0, Input: operation{patient: 1}, Call: 1, Output: answered{http.StatusOK, 2}, Return: 2},
		{ClientId: 1, Input: operation{patient: 1}, Call: 3, Output: answered{http.StatusOK, 3}, Return: 4},
	}
	if porcupine.CheckOperations(queueModel, twice) {
		t.Error("a double check-in passed")
	}
}

// ask sends one operation, again where the answer is that too many came at once.
func ask(t *testing.T, client *http.Client, url string, queue string, op operation) answered {
	t.Helper()
	for {
		got, code := askOnce(t, client, url, queue, op)
		if code != "concurrency_conflict" {
			return got
		}
	}
}

func askOnce(t *testing.T, client *http.Client, url string, queue string, op operation) (answered, string) {
	t.Helper()
	method, path, body := http.MethodPost, "/api/waiting-room/check-in", fmt.Sprintf(
		`{"queueId":%q,"patientId":"p%d","patientName":"Perpetua Testname","priority":"LOW","consultationType":"Cardiology"}`, queue, op.patient)
	if op.read {
		method, path, body = http.MethodGet, "/api/events/"+queue+"?limit=1000", ""
	}
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, url+path, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return answered{}, ""
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		t.Error(err)
		return answered{}, ""
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	var answer struct {
		QueueVersion int64
		Code         string
		Events       []struct{ Version int64 }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Errorf("%d: %s: %v", response.StatusCode, text, err)
	}
	got := answered{status: response.StatusCode, version: answer.QueueVersion}
	if n := len(answer.Events); op.read && n > 0 {
		got.version = answer.Events[n-1].Version
	}
	return got, answer.Code
}
