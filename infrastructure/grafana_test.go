package infrastructure_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type dashboard struct {
	UID           string  `yaml:"uid"`
	Title         string  `yaml:"title"`
	SchemaVersion int     `yaml:"schemaVersion"`
	Panels        []panel `yaml:"panels"`
}

type panel struct {
	ID          int        `yaml:"id"`
	Title       string     `yaml:"title"`
	Description string     `yaml:"description"`
	Datasource  datasource `yaml:"datasource"`
	GridPos     struct {
		X, Y, W, H int
	} `yaml:"gridPos"`
	Targets []struct {
		Legend string `yaml:"legendFormat"`
	} `yaml:"targets"`
	FieldConfig struct {
		Defaults struct {
			Unit string `yaml:"unit"`
		} `yaml:"defaults"`
	} `yaml:"fieldConfig"`
}

type datasource struct {
	Type string `yaml:"type"`
	UID  string `yaml:"uid"`
}

func provisionedDatasource(t *testing.T) datasource {
	t.Helper()
	var file struct {
		Datasources []datasource `yaml:"datasources"`
	}
	decode(t, "grafana/provisioning/datasources/prometheus.yml", &file)
	if len(file.Datasources) != 1 {
		t.Fatalf("%d data sources, want one", len(file.Datasources))
	}
	return file.Datasources[0]
}

func TestDashboards(t *testing.T) {
	tests := map[string]struct {
		uid, title string
		panels     []string // the guide's; there are more
	}{
		"event-processing.json": {
			"rlapp-event-processing", "Event Processing & Lag Monitoring",
			[]string{
				"Event processing lag (ms)", "Pending events in outbox", "Event throughput (events/sec)",
				"Event processing failures",
			},
		},
		"infrastructure.json": {
			"rlapp-infrastructure", "Infrastructure Monitoring",
			[]string{
				"PostgreSQL connection pool usage", "RabbitMQ queue depth", "Database size growth", "Container memory usage",
			},
		},
	}
	source := provisionedDatasource(t)
	for file, tt := range tests {
		t.Run(file, func(t *testing.T) {
			var board dashboard
			decode(t, filepath.Join("grafana/dashboards", file), &board)
			if board.UID != tt.uid || board.Title != tt.title {
				t.Errorf("is %q, %q; links and the guide say %q, %q", board.UID, board.Title, tt.uid, tt.title)
			}
			if board.SchemaVersion < 39 {
				t.Errorf("schemaVersion is %d, want at least 39", board.SchemaVersion)
			}
			var titles []string
			for i, p := range board.Panels {
				titles = append(titles, p.Title)
				checkPanel(t, p, source)
				for _, other := range board.Panels[:i] {
					if p.ID == other.ID || overlap(p, other) {
						t.Errorf("panels %q and %q have one id or overlap", p.Title, other.Title)
					}
				}
			}
			for _, title := range tt.panels {
				if !slices.Contains(titles, title) {
					t.Errorf("has no panel %q", title)
				}
			}
		})
	}
}

func checkPanel(t *testing.T, p panel, source datasource) {
	t.Helper()
	if p.Datasource != source {
		t.Errorf("%s: reads %+v, want the provisioned %+v", p.Title, p.Datasource, source)
	}
	if p.FieldConfig.Defaults.Unit == "" {
		t.Errorf("%s: has no unit", p.Title)
	}
	if !strings.HasSuffix(p.Description, ".") {
		t.Errorf("%s: has no description that says what to do", p.Title)
	}
	if len(p.Targets) == 0 {
		t.Errorf("%s: asks nothing", p.Title)
	}
	for _, target := range p.Targets {
		if target.Legend == "" {
			t.Errorf("%s: a line has no legend", p.Title)
		}
	}
	if p.GridPos.W == 0 || p.GridPos.H == 0 || p.GridPos.X+p.GridPos.W > 24 {
		t.Errorf("%s: does not fit the grid of 24 columns: %+v", p.Title, p.GridPos)
	}
}

func overlap(a, b panel) bool {
	p, q := a.GridPos, b.GridPos
	return p.X < q.X+q.W && q.X < p.X+p.W && p.Y < q.Y+q.H && q.Y < p.Y+p.H
}
