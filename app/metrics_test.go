package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rlapp/rlapp/infrastructure"
	"github.com/rlapp/rlapp/infrastructure/promql"
)

// Every metric that a dashboard, an alert or the guide's queries read is on
// /metrics of the running processes or comes from a named exporter; and a real
// Prometheus that scrapes the processes evaluates every expression, and gives data for
// those of the dashboards and the guide that read our metrics alone.
func TestMetricsThatOperatorsReadAreServed(t *testing.T) {
	env := services(t)
	api := run(t, env, "api").started()
	processes := map[string]*process{
		"api": api, "worker": run(t, env, "worker").started(), "projections": run(t, env, "projections").started(),
	}
	walkPipeline(t, api)
	causeAFailure(t, api, processes["projections"])

	served := map[string]bool{}
	for _, p := range processes {
		for _, name := range metricNames(t, p) {
			served[name] = true
		}
	}
	exporters := exporterMetrics(t)
	expressions, err := infrastructure.Expressions(os.DirFS("../infrastructure"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range expressions {
		for _, name := range promql.MetricNames(e.Expr) {
			if !served[name] && !exporters[name] {
				t.Errorf("%s, %s reads %s, which nobody serves", e.Source, e.Title, name)
			}
		}
	}
	wantHandlersMeasured(t, processes)

	prometheus := startPrometheus(t, processes)
	for _, e := range expressions {
		// These give data only where something is wrong: an alert, and what is nacked.
		ours := !strings.HasSuffix(e.Source, "alert-rules.yml") && !strings.Contains(e.Expr, `success="false"`)
		for _, name := range promql.MetricNames(e.Expr) {
			ours = ours && !exporters[name]
		}
		eventually(t, func() error {
			n, err := prometheus.query(e.Expr)
			if err == nil && n == 0 && ours {
				err = errors.New("it gives no data")
			}
			if err != nil {
				return fmt.Errorf("%s, %s: %w: %s", e.Source, e.Title, err, e.Expr)
			}
			return nil
		})
	}
}

// causeAFailure brings an event that no projection can read, so that what is counted
// of failures has series: that of the waiting messages comes last.
func causeAFailure(t *testing.T, api, projections *process) {
	t.Helper()
	pool := openPool(t, api)
	_, err := pool.Exec(t.Context(), `INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload, metadata, published)
		VALUES ('queue-9', 'PatientCheckedIn', '{}', '{}', false)`)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		for _, name := range metricNames(t, projections) {
			if name == "poison_waiting_count" {
				return nil
			}
		}
		return fmt.Errorf("poison_waiting_count has no series")
	})
}

// Watermill's own metrics are there for every handler, publisher and subscriber.
func wantHandlersMeasured(t *testing.T, processes map[string]*process) {
	t.Helper()
	// Within a handler Watermill labels a publisher by the handler that uses it.
	publishers := map[string][]string{
		"api":         {`publisher_name="inprocess.PubSub"`, `publisher_name="postgres.OutboxPublisher"`},
		"worker":      {`handler_name="outbox.relay"`},
		"projections": {`handler_name="projections"`},
	}
	for name, handlers := range map[string][]string{
		"api":         {"command.check-in"},
		"worker":      {"outbox.relay"},
		"projections": {"projections", "plugin.triage.urgent-check-in"},
	} {
		text := metricsOf(t, processes[name])
		for _, handler := range handlers {
			if !strings.Contains(text, fmt.Sprintf(`watermill_handler_execution_time_seconds_count{handler_name=%q,success="true"}`, handler)) {
				t.Errorf("%s: handler %s is not measured", name, handler)
			}
			if !strings.Contains(text, fmt.Sprintf(`watermill_subscriber_messages_received_total{acked="acked",handler_name=%q`, handler)) {
				t.Errorf("%s: the subscriber of %s is not measured", name, handler)
			}
		}
		for _, publisher := range publishers[name] {
			if !hasSeries(text, "watermill_publish_time_seconds_count", publisher) {
				t.Errorf("%s: publisher %s is not measured", name, publisher)
			}
		}
		if !strings.Contains(text, "pgxpool_acquired_conns") || !strings.Contains(text, "go_goroutines") {
			t.Errorf("%s: pool or runtime metrics are missing", name)
		}
	}
}

func hasSeries(text, metric, label string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, metric+"{") && strings.Contains(line, label) {
			return true
		}
	}
	return false
}

func metricsOf(t *testing.T, p *process) string {
	t.Helper()
	response, err := http.Get("http://" + p.address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func metricNames(t *testing.T, p *process) []string {
	t.Helper()
	var names []string
	for line := range strings.Lines(metricsOf(t, p)) {
		if !strings.HasPrefix(line, "#") {
			names = append(names, line[:strings.IndexAny(line, "{ ")])
		}
	}
	return names
}

func exporterMetrics(t *testing.T) map[string]bool {
	t.Helper()
	raw, err := os.ReadFile("../infrastructure/prometheus/exporter-metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string]bool{}
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Fields(line); len(fields) == 2 && !strings.HasPrefix(line, "#") {
			metrics[fields[0]] = true
		}
	}
	return metrics
}

// prometheus is a real server on a free port.
type prometheus struct{ address string }

func startPrometheus(t *testing.T, processes map[string]*process) prometheus {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("prometheus is missing; run the README's test command, which installs it: %v", err)
	}
	var targets []string
	for _, p := range processes {
		targets = append(targets, p.address)
	}
	directory := t.TempDir()
	file := filepath.Join(directory, "prometheus.yml")
	config, err := json.Marshal(map[string]any{
		"global":         map[string]any{"scrape_interval": "1s"},
		"scrape_configs": []any{map[string]any{"job_name": "rlapp", "static_configs": []any{map[string]any{"targets": targets}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	server := prometheus{address: freeAddress(t)}
	cmd := exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(directory, "data"),
		"--web.listen-address="+server.address, "--log.level=error")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return server
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// query returns the number of series that an expression gives now.
func (p prometheus) query(expr string) (series int, err error) {
	response, err := http.Get("http://" + p.address + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return 0, err // not up yet
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Status, Error string
		Data          struct{ Result []any }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" {
		return 0, errors.New(answer.Error)
	}
	return len(answer.Data.Result), nil
}
