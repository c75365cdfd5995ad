package main_test

import (
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/schema"
)

// deleteQueues takes the handlers' queues from the broker of a process.
func deleteQueues(t *testing.T, env []string, names ...string) {
	t.Helper()
	setting := func(name string) string {
		for _, one := range env {
			if value, ok := strings.CutPrefix(one, "RabbitMq__"+name+"="); ok {
				return value
			}
		}
		t.Fatalf("the environment lacks %s", name)
		return ""
	}
	conn, err := amqp.DialConfig(fmt.Sprintf("amqp://%s:%s@%s:%s/", setting("UserName"), setting("Password"), setting("HostName"), setting("Port")),
		amqp.Config{Vhost: setting("VirtualHost")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := channel.QueueDelete(name, false, false, false); err != nil {
			t.Fatal(err)
		}
	}
}

// An event that no queue takes waits as UNROUTABLE, with the reason; an operator finds
// it, mends the cause and has it published. One that nobody needs is discarded.
func TestOperatorsFindAndMendWhatNoQueueTakes(t *testing.T) {
	env := services(t)
	run(t, env, "worker").started()
	api := run(t, env, "api").started()
	checkIn := func(queue string) {
		t.Helper()
		body := fmt.Sprintf(`{"queueId":%q,"patientId":"p","patientName":"John Doe","priority":"LOW","consultationType":"Cardiology"}`, queue)
		if status, answer, err := api.post("/api/waiting-room/check-in", body); status != 200 {
			t.Fatal(status, answer, err)
		}
	}
	outbox := func(args ...string) string {
		t.Helper()
		p := run(t, nil, append([]string{"outbox", args[0], "--api", "http://" + api.address}, args[1:]...)...)
		if code := p.exit(); code != 0 {
			t.Fatalf("rlapp outbox %v: exit %d:\n%s", args, code, p.output())
		}
		return p.output()
	}
	published := func(n int) func() error {
		return func() error {
			if list := outbox("list", "--status", "PUBLISHED"); strings.Count(list, "PUBLISHED") != n {
				return fmt.Errorf("the list is\n%s", list)
			}
			return nil
		}
	}
	checkIn("queue-0") // the worker makes the queues at its first event
	eventually(t, published(2))
	deleteQueues(t, env, schema.Topic+".projections", schema.Topic+".plugin.triage.urgent-check-in")
	checkIn("queue-1")
	checkIn("queue-2")
	eventually(t, func() error {
		if list := outbox("list", "--status", "UNROUTABLE"); strings.Count(list, "NO_ROUTE") != 4 {
			return fmt.Errorf("the list is\n%s", list)
		}
		return nil
	})
	first, second := idOf(outbox("list", "--queue", "queue-1")), ""
	if shown := outbox("show", first); !strings.Contains(shown, `"status": "UNROUTABLE"`) {
		t.Errorf("got %s", shown)
	}
	outbox("discard", first, "--actor", "ada", "--reason", "a test patient")
	if second = idOf(outbox("list", "--queue", "queue-1", "--status", "UNROUTABLE")); second == first {
		t.Error("a discarded event still waits")
	}
	outbox("discard", second, "--actor", "ada", "--reason", "a test patient")

	run(t, env, "projections").started() // makes the queues
	if did := outbox("retry", "--status", "UNROUTABLE", "--actor", "ada", "--reason", "the queue is back"); !strings.Contains(did, "(2 changed)") {
		t.Errorf("got %s", did)
	}
	eventually(t, published(4))
	eventually(t, func() error {
		if _, monitor := api.get("/api/v1/waiting-room/queue-2/monitor"); monitor["totalPatientsWaiting"] != 1.0 {
			return fmt.Errorf("the monitor shows %v", monitor)
		}
		return nil
	})
	if _, record := api.get("/api/operator-actions"); len(record["actions"].([]any)) != 3 {
		t.Errorf("the record is %v", record)
	}
	if p := run(t, nil, "outbox", "retry", "4711", "--api", "http://"+api.address); p.exit() == 0 || !strings.Contains(p.output(), "is not known") {
		t.Errorf("an unknown event: %s", p.output())
	}
}

// idOf is the id in the first row of a list.
func idOf(list string) string { return strings.Fields(strings.Split(list, "\n")[1])[0] }
