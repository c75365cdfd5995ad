package config_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/app/server/config"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

var pagePath = filepath.Join("..", "..", "..", "docs", "configuration.md")

type section struct {
	Name string
	Keys []config.Key
}

func sections() []section {
	var sections []section
	for _, key := range config.Keys() {
		name, _, _ := strings.Cut(key.Name, "__")
		if len(sections) == 0 || sections[len(sections)-1].Name != name {
			sections = append(sections, section{Name: name})
		}
		last := &sections[len(sections)-1]
		last.Keys = append(last.Keys, key)
	}
	return sections
}

func TestPage(t *testing.T) {
	page, err := template.ParseFiles(filepath.Join("testdata", "configuration.md.tmpl"))
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	err = page.Execute(&want, map[string]any{"Sections": sections(), "Keywords": config.ConnectionKeywords()})
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(pagePath, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("%s is stale; run go generate ./app/server/config\n%s", pagePath, diff)
	}
}

// TestPageExamples loads what the page shows.
func TestPageExamples(t *testing.T) {
	page, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	var environ []string
	for _, m := range regexp.MustCompile(`(?m)^export (\w+)="?([^"\n]*)"?$`).FindAllStringSubmatch(string(page), -1) {
		environ = append(environ, m[1]+"="+m[2])
	}
	file := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(string(page))
	if len(environ) != 4 || file == nil {
		t.Fatalf("the page has %d variables, and the file %q", len(environ), file)
	}
	c, err := config.Load(environ, writeFile(t, file[1]))
	if err != nil {
		t.Fatal(err)
	}
	if c.OutboxDispatcher.BatchSize != 200 || c.RabbitMq.HostName != "rabbitmq.prod" {
		t.Errorf("the examples give %v", c)
	}

	forms := regexp.MustCompile("(?s)These are the same:\n\n```text\n(.*?)\n```").FindStringSubmatch(string(page))
	if forms == nil {
		t.Fatal("the page has no connection strings")
	}
	var urls []string
	for form := range strings.Lines(forms[1]) {
		u, err := config.ParseConnectionString(strings.TrimSpace(form))
		if err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		urls = append(urls, u)
	}
	want := "postgres://rlapp:a%3Bb%20c@db.prod:5432/rlapp?sslmode=require"
	if diff := cmp.Diff([]string{want, want, want}, urls); diff != "" {
		t.Error(diff)
	}
}
