package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/rlapp/rlapp/schema"
)

// outcome is what a client knows of its request.
type outcome int

const (
	indeterminate outcome = iota // no answer, or one that says nothing about it
	acknowledged
	rejected
)

// MarshalText implements encoding.TextMarshaler.
func (o outcome) MarshalText() ([]byte, error) { //nolint:unparam // the interface has it
	return []byte([]string{"indeterminate", "acknowledged", "rejected"}[o]), nil
}

// What clients ask for.
const (
	checkIn    = "check-in"
	openRoom   = "open-room"
	callToDesk = "call-to-desk"
	validate   = "validate"
	callToRoom = "call-to-room"
	begin      = "begin"
	finish     = "finish"
)

// The places of each desk.
const (
	theDesk = "desk-1"
	theRoom = "room-1"
)

// command is how something is asked for, and the event that it causes.
type command struct {
	path string
	body map[string]string
	// ofPatient says that the patient is in the body; of others the answer says who it was.
	ofPatient bool
	event     string
}

var commands = map[string]command{
	checkIn: {
		"/api/waiting-room/check-in",
		map[string]string{"patientName": "Perpetua Testname", "priority": "LOW", "consultationType": "Cardiology"},
		true, schema.PatientCheckedIn{}.EventName(),
	},
	openRoom:   {"/api/medical/consulting-room/activate", map[string]string{"consultingRoomId": theRoom}, false, schema.ConsultingRoomActivated{}.EventName()},
	callToDesk: {"/api/cashier/call-next", map[string]string{"cashierDeskId": theDesk}, false, schema.PatientCalledAtCashier{}.EventName()},
	validate:   {"/api/cashier/validate-payment", nil, true, schema.PatientPaymentValidated{}.EventName()},
	callToRoom: {"/api/medical/call-next", map[string]string{"stationId": theRoom}, false, schema.PatientClaimedForAttention{}.EventName()},
	begin:      {"/api/medical/start-consultation", nil, true, schema.PatientCalled{}.EventName()},
	finish:     {"/api/medical/finish-consultation", nil, true, schema.PatientAttentionCompleted{}.EventName()},
}

// request is one command as its client sees it.
type request struct {
	Command string `json:"command"`
	Queue   string `json:"queue"`
	Patient string `json:"patient"`
	Key     string `json:"key"`

	Sent     time.Time `json:"sent"`     // first
	Answered time.Time `json:"answered"` // last
	Outcome  outcome   `json:"outcome"`
	Status   int       `json:"status"`
	Code     string    `json:"code,omitempty"`
	Version  int64     `json:"version"`
	// Asked says that it was sent again, Replayed that an earlier one had done it, and
	// Broken that it was answered with 500.
	Asked    bool `json:"asked"`
	Replayed bool `json:"replayed"`
	Broken   bool `json:"broken"`
	// Slowest is how long the slowest answer took.
	Slowest time.Duration `json:"slowest"`
}

// answer is what the API says to a command.
type answer struct {
	Code         string
	PatientID    string
	QueueVersion int64
}

// clientTimeout is how long a client waits for an answer.
const clientTimeout = 5 * time.Second

var client = &http.Client{Timeout: clientTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// send asks once and notes the outcome.
func (r *request) send(ctx context.Context, api string) {
	now := time.Now()
	if r.Asked = !r.Sent.IsZero(); !r.Asked {
		r.Sent = now
	}
	status, replayed, got, err := r.ask(ctx, api)
	if err != nil {
		return
	}
	r.Answered = time.Now()
	r.Slowest = max(r.Slowest, r.Answered.Sub(now))
	r.took(status, replayed, got)
}

func (r *request) ask(ctx context.Context, api string) (status int, replayed bool, got answer, err error) {
	c := commands[r.Command]
	body := map[string]string{"queueId": r.Queue, "actor": "desk"}
	for name, value := range c.body {
		body[name] = value
	}
	if c.ofPatient {
		body["patientId"] = r.Patient
	}
	encoded, _ := json.Marshal(body)
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, api+c.path, bytes.NewReader(encoded))
	if err != nil {
		return 0, false, got, err
	}
	post.Header.Set("Content-Type", "application/json")
	post.Header.Set("Idempotency-Key", r.Key)
	response, err := client.Do(post)
	if err != nil {
		return 0, false, got, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, false, got, err
	}
	if err := json.Unmarshal(text, &got); err != nil {
		return 0, false, got, fmt.Errorf("%d: %w", response.StatusCode, err)
	}
	return response.StatusCode, response.Header.Get("Idempotency-Replayed") == "true", got, nil
}

// took notes an answer.
func (r *request) took(status int, replayed bool, got answer) {
	r.Status, r.Code, r.Version, r.Replayed = status, got.Code, got.QueueVersion, replayed
	r.Broken = r.Broken || status == http.StatusInternalServerError
	r.Outcome = classify(status, got.Code)
	if r.Outcome == acknowledged && !commands[r.Command].ofPatient {
		r.Patient = got.PatientID
	}
}

// classify tells what an answer says about its request.
func classify(status int, code string) outcome {
	switch {
	case status == http.StatusOK:
		return acknowledged
	case status >= http.StatusInternalServerError, code == "request_in_flight", code == "concurrency_conflict":
		return indeterminate
	default:
		return rejected
	}
}
