package infrastructure_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/rlapp/rlapp/infrastructure"
)

// promtool runs promtool in the folder of Prometheus' files and fails the test unless it is content.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	binary, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is not on PATH: README's test command needs it (Debian: apt-get install prometheus)")
	}
	command := exec.CommandContext(t.Context(), binary, args...)
	command.Dir = "prometheus"
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

func TestPrometheusTakesItsFiles(t *testing.T) {
	t.Run("configuration", func(t *testing.T) { promtool(t, "check", "config", "prometheus.yml") })
	t.Run("rules", func(t *testing.T) { promtool(t, "check", "rules", "--lint-fatal", "alert-rules.yml") })
	t.Run("cases of the rules", func(t *testing.T) { promtool(t, "test", "rules", "alert-rules_test.yml") })
}

// TestPrometheusParsesEveryExpression hands the dashboards' expressions, which promtool cannot read, to it as rules.
func TestPrometheusParsesEveryExpression(t *testing.T) {
	expressions, err := infrastructure.Expressions(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	for i, e := range expressions {
		rules = append(rules, rule{Record: fmt.Sprintf("expression_%d", i), Expr: e.Expr})
	}
	raw, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "expressions", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "expressions.yml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}

// TestScrapeTargetsAreServices: a target that misses its service is a dashboard without data.
func TestScrapeTargetsAreServices(t *testing.T) {
	var config struct {
		ScrapeConfigs []struct {
			Job    string `yaml:"job_name"`
			Static []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
			DNS []struct {
				Names []string `yaml:"names"`
				Port  int      `yaml:"port"`
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	decode(t, "prometheus/prometheus.yml", &config)
	got := map[string]string{}
	for _, scrape := range config.ScrapeConfigs {
		for _, static := range scrape.Static {
			got[scrape.Job] = strings.Join(static.Targets, " ")
		}
		for _, dns := range scrape.DNS {
			got[scrape.Job] = fmt.Sprintf("%s:%d", strings.Join(dns.Names, " "), dns.Port)
		}
	}
	want := map[string]string{
		"waitingroom-api":    "waitingroom-api:5000",
		"waitingroom-worker": "waitingroom-worker:5001",
		"projection-worker":  "projection-worker:5002",
		"rabbitmq":           "rabbitmq:15692",
		"rabbitmq-queues":    "rabbitmq:15692",
		"postgres":           "postgres-exporter:9187",
		"cadvisor":           "cadvisor:8080",
		"prometheus":         "localhost:9090",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	stack := loadStack(t)
	for job, target := range got {
		host, _, err := net.SplitHostPort(target)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := stack.Services[host]; !ok && host != "localhost" {
			t.Errorf("job %s scrapes %s, which is no service", job, host)
		}
	}
}

func TestAlertsSayWhatToDo(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	decode(t, "prometheus/alert-rules.yml", &file)
	actions := map[string]string{ // the first three are the guide's
		"HighEventProcessingLag":    "Restart OutboxWorker",
		"OutboxWorkerBehind":        "Check RabbitMQ connectivity",
		"ProjectionCheckpointStale": "Trigger projection rebuild",
		"OutboxEventsParked":        "Look at them",
		"EventsGivenUp":             "Read why",
		"ServiceDown":               "Restart it",
		"DatabaseAway":              "Bring PostgreSQL back",
		"DeadLetters":               "See what to do with them in docs/operations.md, Dead letters",
	}
	found := map[string]string{}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			action, command, _ := strings.Cut(rule.Annotations["action"], ": ")
			found[rule.Alert] = action
			for what, value := range map[string]string{
				"severity": rule.Labels["severity"], "summary": rule.Annotations["summary"],
				"description": rule.Annotations["description"], "command": command,
			} {
				if value == "" {
					t.Errorf("%s has no %s", rule.Alert, what)
				}
			}
		}
	}
	if diff := cmp.Diff(actions, found); diff != "" {
		t.Errorf("alerts and actions (-want +got):\n%s", diff)
	}
}
