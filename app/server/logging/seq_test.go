package logging_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/rlapp/rlapp/app/server/logging"
)

// receiver takes logs as Seq does.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	exports  []*collector.ExportLogsServiceRequest
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		export := &collector.ExportLogsServiceRequest{}
		if err := errors.Join(err, proto.Unmarshal(body, export)); err != nil {
			t.Error(err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.requests = append(r.requests, request)
		r.exports = append(r.exports, export)
	}))
	t.Cleanup(r.Close)
	return r
}

// event is a record as it stands in Seq.
type event struct {
	Message    string
	Severity   logs.SeverityNumber
	Text       string
	Properties map[string]any
}

// events are the records that came, of all requests.
func (r *receiver) events() []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var events []event
	for _, export := range r.exports {
		for _, resource := range export.GetResourceLogs() {
			for _, scope := range resource.GetScopeLogs() {
				for _, record := range scope.GetLogRecords() {
					events = append(events, event{
						record.GetBody().GetStringValue(), record.GetSeverityNumber(), record.GetSeverityText(), properties(record.GetAttributes()),
					})
				}
			}
		}
	}
	return events
}

func properties(attributes []*common.KeyValue) map[string]any {
	all := map[string]any{}
	for _, kv := range attributes {
		switch v := kv.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[kv.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			all[kv.GetKey()] = v.IntValue
		case *common.AnyValue_DoubleValue:
			all[kv.GetKey()] = v.DoubleValue
		case *common.AnyValue_KvlistValue:
			all[kv.GetKey()] = properties(v.KvlistValue.GetValues())
		default:
			all[kv.GetKey()] = v
		}
	}
	return all
}

func TestSeq(t *testing.T) {
	r := newReceiver(t)
	var out bytes.Buffer
	logger, shutdown, err := logging.New(logging.Config{
		Writer: &out, Level: slog.LevelInfo, SeqURL: r.URL + "/seq/", SeqAPIKey: "key", Service: "rlapp-worker",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := logging.WithCorrelationID(t.Context(), "c-1")
	logger.Debug("not logged")
	logger.With(logging.ComponentKey, "OutboxWorker").ErrorContext(ctx, "failed",
		logging.EventTypeKey, "ProjectionError", logging.ProcessingDurationKey, 512, "ratio", 0.5, "error", errors.New("broken"))
	logger.Warn("warned")
	logNames(ctx, logger)
	if err := shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}

	want := []event{
		{"failed", logs.SeverityNumber_SEVERITY_NUMBER_ERROR, "Error", map[string]any{
			"Level": "Error", "Component": "OutboxWorker", "CorrelationId": "c-1", "EventType": "ProjectionError",
			"ProcessingDurationMs": int64(512), "ratio": 0.5, "exception.message": "broken", "exception.type": "*errors.errorString",
		}},
		{"warned", logs.SeverityNumber_SEVERITY_NUMBER_WARN, "Warning", map[string]any{"Level": "Warning"}},
		{"m", logs.SeverityNumber_SEVERITY_NUMBER_INFO, "Information", map[string]any{
			"Level": "Information", "CorrelationId": "c-1", "patientName": "[redacted]", "patient_name": "[redacted]", "patientId": "p-1",
			"g": map[string]any{"PATIENT_NAME": "[redacted]"},
			"p": map[string]any{"id": "p-1", "PatientName": "[redacted]"},
		}},
	}
	if diff := cmp.Diff(want, r.events()); diff != "" {
		t.Error(diff)
	}
	request := r.requests[0]
	got := []string{request.Method, request.URL.Path, request.Header.Get("X-Seq-ApiKey"), request.Header.Get("Content-Type")}
	if diff := cmp.Diff([]string{"POST", "/seq/ingest/otlp/v1/logs", "key", "application/x-protobuf"}, got); diff != "" {
		t.Error(diff)
	}
	service := properties(r.exports[0].GetResourceLogs()[0].GetResource().GetAttributes())
	if diff := cmp.Diff(map[string]any{"service.name": "rlapp-worker"}, service); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(out.String(), "\n"); n != 3 || strings.Contains(out.String(), "Perpetua") {
		t.Errorf("standard error has %d lines:\n%s", n, out.String())
	}
}

// lockedBuffer takes lines of the caller and of the sender.
type lockedBuffer struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

func (b *lockedBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.out.String(), text)
}

// TestSeqIsAway logs more than the queue takes while nothing listens.
func TestSeqIsAway(t *testing.T) {
	const records = 20_000
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close() // its port refuses now
	var out lockedBuffer
	logger, shutdown, err := logging.New(logging.Config{Writer: &out, SeqURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		logger.Info("record", "i", i)
	}
	if err := shutdown(t.Context()); err == nil {
		t.Error("shutdown does not say that records are missing")
	}
	logger.Info("after the end")
	if n := out.count("msg=record"); n != records {
		t.Errorf("standard error has %d records, want %d", n, records)
	}
	if n := out.count("Seq takes no logs"); n != 1 {
		t.Errorf("the outage is told of %d times", n)
	}
}

// TestSeqHangs has a Seq that takes requests and does not answer.
func TestSeqHangs(t *testing.T) {
	reached := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case reached <- struct{}{}:
		default:
		}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	var out lockedBuffer
	logger, shutdown, err := logging.New(logging.Config{Writer: &out, SeqURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("record")
	<-reached
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown returned %v", err)
	}
}

// TestSeqComesBack has a Seq that refuses the first request.
func TestSeqComesBack(t *testing.T) {
	requests := make(chan int)
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n++; n == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
		requests <- n
	}))
	t.Cleanup(server.Close)
	var out lockedBuffer
	logger, shutdown, err := logging.New(logging.Config{Writer: &out, SeqURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	for want := range 2 {
		logger.Info("record")
		if got := <-requests; got != want+1 {
			t.Errorf("request %d came, want %d", got, want+1)
		}
	}
	if err := shutdown(t.Context()); err != nil {
		t.Errorf("nothing was left, and shutdown returned %v", err)
	}
	if out.count("Seq takes no logs") != 1 || out.count("Seq takes logs again") != 1 {
		t.Errorf("standard error has:\n%s", out.out.String())
	}
}
