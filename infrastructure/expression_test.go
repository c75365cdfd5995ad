package infrastructure_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/infrastructure"
	"github.com/rlapp/rlapp/infrastructure/promql"
)

// appMetrics are the metrics that RLAPP's services expose. That they do is for the test of app to say.
var appMetrics = slices.Concat(
	[]string{
		"event_processing_lag_ms", "event_processing_failures_total", "event_store_away", "events_dispatched_total",
		"outbox_pending_count", "outbox_parked_count", "outbox_oldest_pending_age_seconds", "poison_waiting_count",
		"projection_checkpoint_age_seconds", "projection_checkpoint_position",
		"pgxpool_acquired_conns", "pgxpool_idle_conns", "pgxpool_max_conns", "pgxpool_total_conns",
		"watermill_subscriber_messages_received_total",
	},
	histogram("event_processing_lag_seconds"),
	histogram("outbox_dispatch_duration_seconds"),
	histogram("projection_processing_duration_seconds"),
	histogram("http_request_duration_seconds"),
	histogram("watermill_handler_execution_time_seconds"),
	histogram("watermill_publish_time_seconds"),
)

func histogram(name string) []string {
	return []string{name + "_bucket", name + "_sum", name + "_count"}
}

// exporterMetrics reads the list of the metrics that others expose, by exporter.
func exporterMetrics(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("prometheus/exporter-metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	exporters := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		line, _, _ = strings.Cut(line, "#")
		switch fields := strings.Fields(line); len(fields) {
		case 0:
		case 2:
			exporters[fields[0]] = fields[1]
		default:
			t.Errorf("exporter-metrics.txt: %q is no metric and exporter", line)
		}
	}
	return exporters
}

func TestEveryExpressionReadsMetricsThatExist(t *testing.T) {
	expressions, err := infrastructure.Expressions(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	exporters := exporterMetrics(t)
	unread := map[string]string{}
	for metric, exporter := range exporters {
		unread[metric] = exporter
	}
	for _, e := range expressions {
		names := promql.MetricNames(e.Expr)
		if len(names) == 0 {
			t.Errorf("%s, %s: reads no metric: %s", e.Source, e.Title, e.Expr)
		}
		for _, name := range names {
			delete(unread, name)
			if _, known := exporters[name]; !known && !slices.Contains(appMetrics, name) {
				t.Errorf("%s, %s: nobody exposes %s: %s", e.Source, e.Title, name, e.Expr)
			}
		}
	}
	for metric, exporter := range unread {
		t.Errorf("exporter-metrics.txt: no expression reads %s of %s", metric, exporter)
	}
}

func TestExportersAreServices(t *testing.T) {
	stack := loadStack(t)
	for metric, exporter := range exporterMetrics(t) {
		if _, ok := stack.Services[exporter]; !ok {
			t.Errorf("%s comes from %s, which is no service", metric, exporter)
		}
	}
}

func TestExpressions(t *testing.T) {
	files := fstest.MapFS{
		"grafana/dashboards/a.json": {Data: []byte(`{"panels": [
			{"title": "A", "targets": [{"expr": "rate(a[$__rate_interval])"}, {"expr": "b"}]},
			{"title": "row", "panels": [{"title": "C", "targets": [{"expr": "c"}, {"rawSql": "SELECT 1"}]}]}]}`)},
		"prometheus/alert-rules.yml": {Data: []byte(`{groups: [{rules: [
			{alert: D, expr: d > 1}, {record: "job:e", expr: e}]}]}`)},
		"prometheus/example-queries.yml": {Data: []byte(`{queries: [{title: F, expr: f}]}`)},
	}
	got, err := infrastructure.Expressions(files)
	if err != nil {
		t.Fatal(err)
	}
	want := []infrastructure.Expression{
		{Source: "grafana/dashboards/a.json", Title: "A", Expr: "rate(a[1m])"},
		{Source: "grafana/dashboards/a.json", Title: "A", Expr: "b"},
		{Source: "grafana/dashboards/a.json", Title: "C", Expr: "c"},
		{Source: "prometheus/alert-rules.yml", Title: "D", Expr: "d > 1"},
		{Source: "prometheus/alert-rules.yml", Title: "job:e", Expr: "e"},
		{Source: "prometheus/example-queries.yml", Title: "F", Expr: "f"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Expressions() (-want +got):\n%s", diff)
	}
}

func TestExpressionsNamesTheFileItCannotRead(t *testing.T) {
	tests := map[string]struct {
		file fstest.MapFS
		want string
	}{
		"missing":             {fstest.MapFS{}, "prometheus/alert-rules.yml"},
		"malformed":           {fstest.MapFS{"grafana/dashboards/a.json": {Data: []byte("{")}}, "grafana/dashboards/a.json"},
		"without expressions": {fstest.MapFS{"grafana/dashboards/a.json": {Data: []byte("{}")}}, "grafana/dashboards/a.json"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := infrastructure.Expressions(tt.file)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Expressions() = %v, %v, want an error about %s", got, err, tt.want)
			}
		})
	}
}
