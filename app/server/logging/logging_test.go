package logging_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/app/server/logging"
)

func newLogger(t *testing.T, config logging.Config) (*slog.Logger, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	config.Writer = &out
	logger, shutdown, err := logging.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return logger, &out
}

// lines decodes JSON lines, without their time.
func lines(t *testing.T, out *bytes.Buffer) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range bytes.Lines(out.Bytes()) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		if _, err := time.Parse(time.RFC3339Nano, m["time"].(string)); err != nil {
			t.Error(err)
		}
		delete(m, "time")
		all = append(all, m)
	}
	return all
}

func TestJSON(t *testing.T) {
	logger, out := newLogger(t, logging.Config{Format: "json"})
	ctx := logging.WithCorrelationID(t.Context(), "c-1")
	logger.With(logging.ComponentKey, "OutboxWorker").WarnContext(ctx, "slow",
		logging.EventTypeKey, "ProjectionError", logging.ProcessingDurationKey, 512.5, "error", errors.New("broken"))
	logger.Info("no context")
	want := []map[string]any{
		{
			"level": "WARN", "msg": "slow", "Component": "OutboxWorker", "CorrelationId": "c-1",
			"EventType": "ProjectionError", "ProcessingDurationMs": 512.5, "error": "broken",
		},
		{"level": "INFO", "msg": "no context"},
	}
	if diff := cmp.Diff(want, lines(t, out)); diff != "" {
		t.Error(diff)
	}
}

func TestText(t *testing.T) {
	logger, out := newLogger(t, logging.Config{})
	logger.InfoContext(logging.WithCorrelationID(t.Context(), "c-1"), "hello", "a", 1)
	if _, line, _ := strings.Cut(out.String(), " "); line != "level=INFO msg=hello CorrelationId=c-1 a=1\n" {
		t.Errorf("got %q", line)
	}
}

// TestCorrelationIDIsOutsideOfGroups: a search finds it under one name.
func TestCorrelationIDIsOutsideOfGroups(t *testing.T) {
	logger, out := newLogger(t, logging.Config{Format: "json"})
	ctx := logging.WithCorrelationID(t.Context(), "c-1")
	logger.With("a", 1).WithGroup("g").With("b", 2).WithGroup("h").InfoContext(ctx, "m", "c", 3)
	want := []map[string]any{{
		"level": "INFO", "msg": "m", "CorrelationId": "c-1", "a": 1.0,
		"g": map[string]any{"b": 2.0, "h": map[string]any{"c": 3.0}},
	}}
	if diff := cmp.Diff(want, lines(t, out)); diff != "" {
		t.Error(diff)
	}
}

func TestCorrelationID(t *testing.T) {
	if id := logging.CorrelationID(t.Context()); id != "" {
		t.Errorf("got %q", id)
	}
	if id := logging.CorrelationID(logging.WithCorrelationID(t.Context(), "c-1")); id != "c-1" {
		t.Errorf("got %q", id)
	}
}

func TestLevel(t *testing.T) {
	for level, want := range map[slog.Level]string{
		slog.LevelDebug: "debug info warn error", slog.LevelInfo: "info warn error",
		slog.LevelWarn: "warn error", slog.LevelError: "error",
	} {
		logger, out := newLogger(t, logging.Config{Format: "json", Level: level})
		logger.Debug("debug")
		logger.Info("info")
		logger.Warn("warn")
		logger.Error("error")
		var got []string
		for _, line := range lines(t, out) {
			got = append(got, line["msg"].(string))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("at %v: got %v, want %s", level, got, want)
		}
	}
}

// patient logs as a careless author would.
type patient struct{ id, name string }

func (p patient) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", p.id), slog.String("PatientName", p.name))
}

func logNames(ctx context.Context, logger *slog.Logger) {
	logger.With("patientName", "Perpetua").InfoContext(ctx, "m",
		"patient_name", "Perpetua", slog.Group("g", "PATIENT_NAME", "Perpetua"), "p", patient{"p-1", "Perpetua"}, "patientId", "p-1")
}

func TestRedaction(t *testing.T) {
	logger, out := newLogger(t, logging.Config{Format: "json"})
	logNames(t.Context(), logger)
	want := []map[string]any{{
		"level": "INFO", "msg": "m", "patientName": "[redacted]", "patient_name": "[redacted]", "patientId": "p-1",
		"g": map[string]any{"PATIENT_NAME": "[redacted]"},
		"p": map[string]any{"id": "p-1", "PatientName": "[redacted]"},
	}}
	if diff := cmp.Diff(want, lines(t, out)); diff != "" {
		t.Error(diff)
	}
}

// TestSlogConformance runs the standard library's own suite.
func TestSlogConformance(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		out.Reset()
		logger, _, err := logging.New(logging.Config{Format: "json", Writer: &out})
		if err != nil {
			t.Fatal(err)
		}
		return logger.Handler()
	}, func(t *testing.T) map[string]any {
		var m map[string]any
		if err := json.Unmarshal(out.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		return m
	})
}

func TestNewNamesEveryMistake(t *testing.T) {
	_, _, err := logging.New(logging.Config{Format: "xml", SeqURL: "localhost:5341"})
	want := "logging config: format \"xml\": must be \"text\" or \"json\"\nSeqURL: must be an http:// or https:// URL"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
