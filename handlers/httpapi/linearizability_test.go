package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rlapp/rlapp/waitingroom"
)

// The operations of a client, which has a desk and a consulting room of its own.
const (
	read = iota
	checkIn
	openRoom
	callToDesk
	validatePayment
	callToRoom
	beginConsultation
	finishConsultation
)

// operation is what one client asks of a queue.
type operation struct {
	kind    int
	client  int
	patient int
	behind  int64 // the version that a read begins behind
}

// answered is what it is told. The patient is the one who was called.
type answered struct {
	status  int
	version int64
	patient int
}

// held is the queue of the model: its version, the clients whose rooms are open, and who
// is there in the order of arrival: four bytes a patient, the number, the step taken last,
// and the client at whose place the patient is.
type held struct {
	version  int64
	rooms    string
	patients string
}

const (
	linearPatients = 2 * waitingroom.DefaultMaxCapacity
	placeSize      = 4
	nowhere        = 0xff
)

func place(patient, step, client int) string {
	return string([]byte{byte(patient >> 8), byte(patient), byte(step), byte(client)})
}

// find returns where the first one stands that is looked for, and who it is; -1 for nobody.
func (q held) find(is func(patient, step, client int) bool) (at, patient int) {
	for at := 0; at < len(q.patients); at += placeSize {
		p := q.patients[at : at+placeSize]
		if patient := int(p[0])<<8 | int(p[1]); is(patient, int(p[2]), int(p[3])) {
			return at, patient
		}
	}
	return -1, 0
}

func (q held) with(at int, now string) held {
	q.patients = q.patients[:at] + now + q.patients[min(at+placeSize, len(q.patients)):]
	return q
}

// after is the queue after an operation, the status that it is answered with, and who it
// is about.
func (q held) after(op operation) (next held, status, patient int) {
	of := func(at, patient int, now string) (held, int, int) {
		if at < 0 {
			return q, http.StatusConflict, 0
		}
		next := q.with(at, now)
		next.version++
		return next, http.StatusOK, patient
	}
	// takes moves somebody on from a step; called means whoever comes first.
	takes := func(from, to, at int, called bool) (held, int, int) {
		found, patient := q.find(func(p, step, _ int) bool { return step == from && (called || p == op.patient) })
		return of(found, patient, place(patient, to, at))
	}
	here, _ := q.find(func(p, _, _ int) bool { return p == op.patient })
	busy := func(steps ...int) bool {
		at, _ := q.find(func(_, step, client int) bool { return client == op.client && slices.Contains(steps, step) })
		return at >= 0
	}
	switch op.kind {
	case checkIn:
		if here >= 0 || len(q.patients) >= waitingroom.DefaultMaxCapacity*placeSize {
			return q, http.StatusConflict, 0
		}
		q.version = max(q.version, 1) // the queue's creation
		return of(len(q.patients), op.patient, place(op.patient, checkIn, nowhere))
	case openRoom:
		q.rooms += string(rune(op.client))
		q.version++
		return q, http.StatusOK, 0
	case callToDesk:
		if busy(callToDesk) {
			return q, http.StatusConflict, 0
		}
		return takes(checkIn, callToDesk, op.client, true)
	case callToRoom:
		if !strings.ContainsRune(q.rooms, rune(op.client)) || busy(callToRoom, beginConsultation) {
			return q, http.StatusConflict, 0
		}
		return takes(validatePayment, callToRoom, op.client, true)
	}
	if here < 0 {
		return q, http.StatusNotFound, 0
	}
	switch op.kind {
	case validatePayment:
		return takes(callToDesk, validatePayment, nowhere, false)
	case beginConsultation:
		return takes(callToRoom, beginConsultation, int(q.patients[here+3]), false)
	default: // the visit is over
		if int(q.patients[here+2]) != beginConsultation {
			return q, http.StatusConflict, 0
		}
		return of(here, op.patient, "")
	}
}

// queueModel is what a queue does, one operation after another.
var queueModel = porcupine.Model{
	Init: func() any { return held{} },
	Step: func(state, input, output any) (bool, any) {
		q, op, got := state.(held), input.(operation), output.(answered)
		if op.kind == read {
			return got.version == q.version, q
		}
		if q.version == 0 && op.kind != checkIn {
			return got.status == http.StatusNotFound, q
		}
		next, status, patient := q.after(op)
		if status != http.StatusOK {
			return got.status == status, q
		}
		named := op.kind != callToDesk && op.kind != callToRoom || got.patient == patient
		return got.status == status && got.version == next.version && named, next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// doctor is a client that checks patients in, and takes one after another through.
type doctor struct {
	id      int
	random  *rand.Rand
	step    int
	patient int
	seen    int64 // version
}

// next is what it asks for: about as many patients leave as come in.
func (d *doctor) next() operation {
	op := operation{kind: d.step, client: d.id, patient: d.patient}
	switch n := d.random.IntN(10); {
	case n == 0:
		op.kind, op.behind = read, d.seen
	case n < 4:
		op.kind, op.patient = checkIn, d.random.IntN(linearPatients)
	}
	return op
}

// took goes on after what was done.
func (d *doctor) took(op operation, got answered) {
	d.seen = max(d.seen, got.version)
	if got.status != http.StatusOK || op.kind < openRoom {
		return
	}
	if op.kind == callToDesk || op.kind == callToRoom {
		d.patient = got.patient
	}
	if d.step++; d.step > finishConsultation {
		d.step = callToDesk
	}
}

// The history of one queue, as eight clients see it, is one that a queue could have
// which does one thing after another.
func TestAQueueIsLinearizable(t *testing.T) {
	f := newFixture(t)
	const clients, operations, seeds = 8, 500, 20
	// The default transport keeps two connections to a host, and would open one for most requests.
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	t.Cleanup(client.CloseIdleConnections)
	done := 0
	for seed := range uint64(seeds) {
		queue := fmt.Sprintf("linear-%d", seed)
		var (
			mu      sync.Mutex
			history []porcupine.Operation
			group   sync.WaitGroup
		)
		for id := range clients {
			d := &doctor{id: id, random: rand.New(rand.NewPCG(seed, uint64(id))), step: openRoom}
			group.Go(func() {
				for range operations {
					op := d.next()
					called := time.Now().UnixNano()
					got := ask(t, client, f.url, queue, op)
					returned := time.Now().UnixNano()
					d.took(op, got)
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: id, Input: op, Call: called, Output: got, Return: returned})
					if got.status == http.StatusOK && op.kind != read {
						done++
					}
					mu.Unlock()
				}
			})
		}
		group.Wait()
		if result := porcupine.CheckOperationsTimeout(queueModel, history, time.Minute); result != porcupine.Ok {
			t.Fatalf("seed %d: the history of %d operations is %v", seed, len(history), result)
		}
	}
	// A queue in which nothing can be done any more shows nothing.
	if all := clients * operations * seeds; done < all/2 {
		t.Errorf("of %d operations only %d changed a queue", all, done)
	}
}

// The checker finds what is wrong.
func TestTheLinearizabilityCheckFindsWhatIsWrong(t *testing.T) {
	said := func(n int64, op operation, got answered) porcupine.Operation {
		return porcupine.Operation{Input: op, Call: 2 * n, Output: got, Return: 2*n + 1}
	}
	in := func(patient int) operation { return operation{kind: checkIn, patient: patient} }
	ok := func(version int64, patient int) answered { return answered{http.StatusOK, version, patient} }
	for name, tt := range map[string]struct {
		history []porcupine.Operation
		want    bool
	}{
		"one after another": {[]porcupine.Operation{said(0, in(1), ok(2, 0)), said(1, in(2), ok(3, 0)), said(2, operation{kind: callToDesk}, ok(4, 1))}, true},
		"twice":             {[]porcupine.Operation{said(0, in(1), ok(2, 0)), said(1, in(1), ok(3, 0))}, false},
		"the second first":  {[]porcupine.Operation{said(0, in(1), ok(2, 0)), said(1, in(2), ok(3, 0)), said(2, operation{kind: callToDesk}, ok(4, 2))}, false},
		"an old version":    {[]porcupine.Operation{said(0, in(1), ok(2, 0)), said(1, operation{kind: read}, ok(1, 0))}, false},
		"a desk that is taken": {[]porcupine.Operation{
			said(0, in(1), ok(2, 0)), said(1, in(2), ok(3, 0)), said(2, operation{kind: callToDesk}, ok(4, 1)), said(3, operation{kind: callToDesk}, ok(5, 2)),
		}, false},
	} {
		if got := porcupine.CheckOperations(queueModel, tt.history); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// paths are where the operations are asked for.
var paths = map[int]string{
	checkIn: "/api/waiting-room/check-in", openRoom: "/api/medical/consulting-room/activate", callToDesk: "/api/cashier/call-next",
	validatePayment: "/api/cashier/validate-payment", callToRoom: "/api/medical/call-next",
	beginConsultation: "/api/medical/start-consultation", finishConsultation: "/api/medical/finish-consultation",
}

func (op operation) body(queue string) string {
	fields := map[string]any{"queueId": queue, "actor": "doctor"}
	own := fmt.Sprintf("of-%d", op.client)
	switch op.kind {
	case openRoom:
		fields["consultingRoomId"] = own
	case callToDesk:
		fields["cashierDeskId"] = own
	case callToRoom:
		fields["stationId"] = own
	case checkIn:
		fields["patientName"], fields["priority"], fields["consultationType"] = "Perpetua Testname", "LOW", "Cardiology"
		fallthrough
	default:
		fields["patientId"] = fmt.Sprintf("p%d", op.patient)
	}
	encoded, _ := json.Marshal(fields)
	return string(encoded)
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
	method, path, body := http.MethodPost, paths[op.kind], op.body(queue)
	if op.kind == read {
		method, path, body = http.MethodGet, "/api/events/"+queue+"?afterVersion="+fmt.Sprint(op.behind)+"&limit=1000", ""
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
		PatientID    string
		Code         string
		Events       []struct{ Version int64 }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Errorf("%d: %s: %v", response.StatusCode, text, err)
	}
	got := answered{status: response.StatusCode, version: answer.QueueVersion}
	_, _ = fmt.Sscanf(answer.PatientID, "p%d", &got.patient)
	if op.kind == read {
		got.version = op.behind
	}
	if n := len(answer.Events); n > 0 {
		got.version = answer.Events[n-1].Version
	}
	return got, answer.Code
}
