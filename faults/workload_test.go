package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAnswersAreClassified(t *testing.T) {
	for _, tt := range []struct {
		status int
		code   string
		want   outcome
	}{
		{200, "", acknowledged},
		{409, "already_checked_in", rejected},
		{404, "queue_not_found", rejected},
		{409, "request_in_flight", indeterminate},
		{409, "concurrency_conflict", indeterminate},
		{503, "service_unavailable", indeterminate},
		{500, "internal_error", indeterminate},
	} {
		if got := classify(tt.status, tt.code); got != tt.want {
			t.Errorf("%d %s is %d, want %d", tt.status, tt.code, got, tt.want)
		}
	}
}

func TestAnAnswerIsNoted(t *testing.T) {
	r := &request{Command: callToDesk}
	r.took(http.StatusInternalServerError, false, answer{Code: "internal_error"})
	r.took(http.StatusOK, true, answer{PatientID: "p1", QueueVersion: 7})
	if !r.Broken || !r.Replayed || r.Patient != "p1" || r.Version != 7 || r.Outcome != acknowledged {
		t.Errorf("noted %+v", r)
	}
}

// A fifth of the commands are a desk's, and the same seed draws the same.
func TestAWorkloadIsDrawnFromItsSeed(t *testing.T) {
	w := newWorkload(long, "r", 1)
	if diff := cmp.Diff(w.requests, newWorkload(long, "r", 1).requests); diff != "" {
		t.Errorf("the same seed draws something else:\n%s", diff)
	}
	if cmp.Equal(w.requests, newWorkload(long, "r", 2).requests) {
		t.Error("another seed draws the same")
	}
	ofDesks, copies, seen := 0, 0, map[string]bool{}
	for _, r := range w.requests {
		switch {
		case r.Command == "":
			ofDesks++
		case seen[r.Queue+r.Patient]:
			copies++
			if w.desks[r.Queue] != nil {
				t.Errorf("patient %s of %s may have left before", r.Patient, r.Queue)
			}
		}
		seen[r.Queue+r.Patient] = r.Command != ""
	}
	if ofDesks < 350 || ofDesks > 450 || copies < 50 || copies > 110 {
		t.Errorf("of %d commands %d are of desks, %d copies", len(w.requests), ofDesks, copies)
	}
}

// clinic answers as the API would, but for what it is told to do wrong.
func clinic(t *testing.T, wrong func(n int, w http.ResponseWriter) bool) *httptest.Server {
	t.Helper()
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n++; wrong(n, w) {
			return
		}
		var body struct{ PatientID string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		if body.PatientID == "" {
			body.PatientID = "p1"
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"patientId": body.PatientID, "queueVersion": n})
	}))
	t.Cleanup(server.Close)
	return server
}

// A desk takes one step after another, and asks again where it got no answer.
func TestADeskTakesAPatientThrough(t *testing.T) {
	server := clinic(t, func(n int, w http.ResponseWriter) bool {
		if n == 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprint(w, "{}")
		}
		return n == 3
	})
	w := &workload{size: size{clients: 1, rate: 1000}, desks: map[string]*desk{"q": {}}}
	for i := range 9 {
		w.requests = append(w.requests, &request{Queue: "q", Key: fmt.Sprint(i)})
	}
	w.run(t.Context(), func() string { return server.URL }, func() {})
	w.resolve(t.Context(), func() string { return server.URL })
	var got []request
	for _, r := range w.requests {
		got = append(got, *r)
	}
	want := []request{
		{Command: openRoom, Key: "0", Patient: "p1"},
		{Command: callToDesk, Key: "1", Patient: "p1"},
		{Command: validate, Key: "2", Patient: "p1", Asked: true},
		{Command: callToRoom, Key: "4", Patient: "p1"},
		{Command: begin, Key: "5", Patient: "p1"},
		{Command: finish, Key: "6", Patient: "p1"},
		{Command: callToDesk, Key: "7", Patient: "p1"},
		{Command: validate, Key: "8", Patient: "p1"},
	}
	for i := range want {
		want[i].Queue, want[i].Outcome, want[i].Status = "q", acknowledged, http.StatusOK
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(request{}, "Sent", "Answered", "Slowest", "Version")); diff != "" {
		t.Errorf("the desk asked for something else (-want +got):\n%s", diff)
	}
}

// What got no answer is asked again by all clients at a time.
func TestClientsAskAgainTogether(t *testing.T) {
	const clients = 5
	arrived, all := make(chan struct{}, clients), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-all
		_, _ = fmt.Fprint(w, "{}")
	}))
	t.Cleanup(server.Close)
	go func() {
		for range clients {
			<-arrived
		}
		close(all)
	}()
	w := &workload{size: size{clients: clients}}
	for range clients {
		w.requests = append(w.requests, &request{Command: checkIn, Sent: time.Now()})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	w.resolve(ctx, func() string { return server.URL })
	for _, r := range w.requests {
		if r.Outcome != acknowledged || !r.Asked {
			t.Errorf("a request is %+v", r)
		}
	}
}

func TestAnswersAreJudged(t *testing.T) {
	now := time.Now()
	in := func(patient string, after time.Duration) *request {
		return &request{Command: checkIn, Queue: "q", Patient: patient, Outcome: acknowledged, Sent: now, Answered: now.Add(after)}
	}
	refused := func(command, code string, after time.Duration) *request {
		return &request{Command: command, Queue: "q", Patient: "p1", Outcome: rejected, Code: code, Sent: now.Add(after)}
	}
	called := &request{Command: callToDesk, Queue: "q", Patient: "p1", Outcome: acknowledged, Sent: now.Add(2)}
	for name, tt := range map[string]struct {
		requests []*request
		want     counts
	}{
		"who is here":                     {[]*request{in("p1", 1), refused(checkIn, "already_checked_in", 0)}, counts{}},
		"who is not here":                 {[]*request{in("p2", 1), refused(checkIn, "already_checked_in", 0)}, counts{Lost: 1}},
		"twice":                           {[]*request{in("p1", 1), in("p1", 1)}, counts{Doubled: 1}},
		"a full queue":                    {[]*request{refused(checkIn, "queue_full", 0)}, counts{Misanswered: 1}},
		"no answer":                       {[]*request{{Command: checkIn}}, counts{Stuck: 1}},
		"500":                             {[]*request{{Command: checkIn, Outcome: acknowledged, Broken: true}}, counts{Misanswered: 1}},
		"nobody waits yet":                {[]*request{in("p1", 2), refused(callToDesk, "nobody_waiting", 1)}, counts{}},
		"somebody waits":                  {[]*request{in("p1", 1), refused(callToDesk, "nobody_waiting", 2)}, counts{Lost: 1}},
		"nobody waits any more":           {[]*request{in("p1", 1), called, refused(callToDesk, "nobody_waiting", 3)}, counts{}},
		"no queue yet":                    {[]*request{refused(openRoom, "queue_not_found", 0)}, counts{}},
		"a queue that is there":           {[]*request{in("p1", 1), refused(openRoom, "queue_not_found", 2)}, counts{Lost: 1}},
		"a desk that is free":             {[]*request{refused(callToDesk, "desk_busy", 0)}, counts{Misanswered: 1}},
		"a step after one that was taken": {[]*request{refused(validate, "step_not_allowed", 0)}, counts{Lost: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			w, got := &workload{requests: tt.requests}, counts{}
			w.judge(&got)
			got.Acknowledged, got.Rejected = 0, 0
			if got != tt.want {
				t.Errorf("counted %+v, want %+v", got, tt.want)
			}
		})
	}
}
