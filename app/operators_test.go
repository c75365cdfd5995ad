package main_test

import (
	"errors"
	"strings"
	"testing"
)

// What operators do by command: look at projections, rebuild them, put the old ones
// back, rebuild a queue, archive and prune.
func TestOperatorsRebuildAndPruneByCommand(t *testing.T) {
	p := run(t, []string{"Embedded__DataDirectory=" + dataDirectory(t)}).started()
	ask := func(args ...string) string {
		t.Helper()
		asked := run(t, nil, append(args, "--api", "http://"+p.address)...)
		if code := asked.exit(); code != 0 {
			t.Fatalf("rlapp %v: exit %d:\n%s", args, code, asked.output())
		}
		return asked.output()
	}
	says := func(text string, args ...string) func() error {
		return func() error {
			if said := ask(args...); !strings.Contains(said, text) {
				return errors.New(said)
			}
			return nil
		}
	}
	body := `{"queueId":"q","patientId":"p","patientName":"John Doe","priority":"LOW","consultationType":"Cardiology"}`
	if status, answer, err := p.post("/api/waiting-room/check-in", body); status != 200 {
		t.Fatal(status, answer, err)
	}
	eventually(t, says("UpToDate", "projection", "list"))
	ask("projection", "rebuild", "monitor", "--actor", "ada", "--reason", "a test")
	eventually(t, says(`"status": "DONE"`, "projection", "status", "monitor"))
	ask("projection", "rollback", "monitor", "--actor", "ada")
	eventually(t, says(`"rollBack": true`, "projection", "status", "monitor"))
	ask("projection", "rebuild-queue", "q", "--actor", "ada")
	ask("retention", "run", "--actor", "ada")
	eventually(t, says("ARCHIVED", "retention", "list"))
	ask("retention", "run", "--actor", "ada")
	eventually(t, says("more: --before ", "retention", "list", "--limit", "1"))
	if first := ask("retention", "list", "--before", "2"); strings.Count(first, "\n") != 2 {
		t.Errorf("the first run is listed as\n%s", first)
	}
	if _, record := p.get("/api/operator-actions"); len(record["actions"].([]any)) != 5 {
		t.Errorf("the record is %v", record)
	}
}

// A list that goes on says how to get the rest.
func TestOperatorsPageThroughPoisonGroups(t *testing.T) {
	p := run(t, services(t), "api").started()
	_, err := openPool(t, p).Exec(t.Context(), `
		INSERT INTO poison_messages (message_id, handler, topic, reason, payload, metadata, failure_group)
		VALUES ('1', 'one', 't', 'r', '', '{}', 'group-1'), ('2', 'two', 't', 'r', '', '{}', 'group-2'), ('3', 'two', 't', 'r', '', '{}', 'group-2')`)
	if err != nil {
		t.Fatal(err)
	}
	groups := func(args ...string) string {
		t.Helper()
		asked := run(t, nil, append([]string{"poison", "groups", "--limit", "1", "--api", "http://" + p.address}, args...)...)
		if code := asked.exit(); code != 0 {
			t.Fatalf("exit %d:\n%s", code, asked.output())
		}
		return asked.output()
	}
	first := groups()
	_, after, more := strings.Cut(strings.TrimSpace(first), "more: --after ")
	if !more || !strings.Contains(first, "group-2") || strings.Contains(first, "group-1") {
		t.Fatalf("the first page is\n%s", first)
	}
	if second := groups("--after", after); !strings.Contains(second, "group-1") || strings.Contains(second, "more:") {
		t.Errorf("the second page is\n%s", second)
	}
}
