package promql_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/infrastructure/promql"
)

func TestMetricNames(t *testing.T) {
	tests := map[string]struct {
		expr string
		want []string
	}{
		"nothing":                        {"", nil},
		"a metric":                       {"outbox_pending_count", []string{"outbox_pending_count"}},
		"a recording rule's name":        {"job:lag:max", []string{"job:lag:max"}},
		"a function":                     {"rate(events_dispatched_total[1m])", []string{"events_dispatched_total"}},
		"grouping behind the operand":    {"avg(event_processing_lag_ms) by (event_name)", []string{"event_processing_lag_ms"}},
		"grouping before the operand":    {"max by (event_name, projection) (lag)", []string{"lag"}},
		"grouping by nothing":            {"sum without () (lag)", []string{"lag"}},
		"words in capitals":              {"SUM BY (le) (a) AND b", []string{"a", "b"}},
		"an aggregation with parameter":  {"topk(5, a + b)", []string{"a", "b"}},
		"matchers":                       {`a{b="c", d=~"e|f", g!="}"} > 5`, []string{"a"}},
		"quotes within strings":          {`a{b="\"x"} + c{d='\'y'} + e{f=` + "`z`" + `}`, []string{"a", "c", "e"}},
		"sorted, each once":              {"b / a + b", []string{"a", "b"}},
		"comparison with bool":           {"a > bool b", []string{"a", "b"}},
		"set operators":                  {"a and b or c unless d", []string{"a", "b", "c", "d"}},
		"vector matching":                {"a * on (job) group_left (name) b", []string{"a", "b"}},
		"group_left without labels":      {"a * ignoring(x) group_left b", []string{"a", "b"}},
		"durations and offsets":          {"rate(a[5m:30s] offset 1h30m) + b offset 5m", []string{"a", "b"}},
		"the at modifier":                {"a @ end() + b @ 1609746000", []string{"a", "b"}},
		"numbers":                        {"a > 1e-3 and b < 0x1f or c == Inf or d != NaN or e < .5e3", []string{"a", "b", "c", "d", "e"}},
		"Grafana's variables":            {"increase(a[$__rate_interval]) / $scale + b * ${factor}", []string{"a", "b"}},
		"comments":                       {"a # not b\n+ c", []string{"a", "c"}},
		"several lines":                  {"a\n  and\nincrease(\n  b[5m]\n)", []string{"a", "b"}},
		"a parenthesis further on":       {"a + (b) / on (c) (d)", []string{"a", "b", "d"}},
		"a parenthesised argument":       {"clamp_max(a, (-20))", []string{"a"}},
		"functions without argument":     {"time() - a", []string{"a"}},
		"a blank before the parenthesis": {"rate (a[1m])", []string{"a"}},
		"an unclosed matcher":            {`a{b="c"`, []string{"a"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, promql.MetricNames(tt.expr)); diff != "" {
				t.Errorf("MetricNames(%q) (-want +got):\n%s", tt.expr, diff)
			}
		})
	}
}
