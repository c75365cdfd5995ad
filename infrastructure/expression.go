package infrastructure

import (
	"fmt"
	"io/fs"
	"strings"

	"gopkg.in/yaml.v3"
)

// Expression is one PromQL expression that somebody relies on.
type Expression struct {
	// Source is the file it stands in, relative to this folder.
	Source string
	// Title is that of its panel, alert or query. Several expressions may share one.
	Title string
	// Expr is PromQL that Prometheus evaluates as it is: Grafana's $__rate_interval is replaced by 1m, its value at the
	// scrape interval of prometheus.yml.
	Expr string
}

const rateInterval = "1m"

// Expressions returns every expression of the dashboards, the alert rules and the example queries, file by file and in
// the order of each file. The root of fsys is this folder: os.DirFS("infrastructure") at the root of the module. It
// fails on a file that cannot be read or parsed, and on one without expressions, since that is a file it misread.
func Expressions(fsys fs.FS) ([]Expression, error) {
	dashboards, err := fs.Glob(fsys, "grafana/dashboards/*.json")
	if err != nil {
		return nil, err
	}
	var all []Expression
	for _, file := range append(dashboards, "prometheus/alert-rules.yml", "prometheus/example-queries.yml") {
		found, err := read(fsys, file)
		if err != nil {
			return nil, fmt.Errorf("expressions of %s: %w", file, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("expressions of %s: there are none", file)
		}
		all = append(all, found...)
	}
	return all, nil
}

// document has the fields of all three kinds of file; each fills its own. JSON is YAML, so one decoder reads all.
type document struct {
	Panels []panel `yaml:"panels"`
	Groups []struct {
		Rules []struct {
			Alert  string `yaml:"alert"`
			Record string `yaml:"record"`
			Expr   string `yaml:"expr"`
		} `yaml:"rules"`
	} `yaml:"groups"`
	Queries []struct {
		Title string `yaml:"title"`
		Expr  string `yaml:"expr"`
	} `yaml:"queries"`
}

// panel nests, since a collapsed row holds its panels.
type panel struct {
	Title   string `yaml:"title"`
	Targets []struct {
		Expr string `yaml:"expr"`
	} `yaml:"targets"`
	Panels []panel `yaml:"panels"`
}

func read(fsys fs.FS, file string) ([]Expression, error) {
	raw, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil, err
	}
	var doc document
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	return doc.expressions(file), nil
}

func (d document) expressions(source string) []Expression {
	var found []Expression
	add := func(title, expr string) {
		if expr != "" {
			expr = strings.ReplaceAll(expr, "$__rate_interval", rateInterval)
			found = append(found, Expression{Source: source, Title: title, Expr: expr})
		}
	}
	var walk func([]panel)
	walk = func(panels []panel) {
		for _, p := range panels {
			for _, t := range p.Targets {
				add(p.Title, t.Expr)
			}
			walk(p.Panels)
		}
	}
	walk(d.Panels)
	for _, g := range d.Groups {
		for _, r := range g.Rules {
			add(r.Alert+r.Record, r.Expr)
		}
	}
	for _, q := range d.Queries {
		add(q.Title, q.Expr)
	}
	return found
}
