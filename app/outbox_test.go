package main_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/rlapp/rlapp/schema"
)

// onBroker does something to the virtual host of a process.
func onBroker(t *testing.T, env []string, do func(*amqp.Channel) error) {
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
	if err := do(channel); err != nil {
		t.Fatal(err)
	}
}

func (p *process) checkIn(queue string) {
	p.t.Helper()
	body := fmt.Sprintf(`{"queueId":%q,"patientId":"p","patientName":"John Doe","priority":"LOW","consultationType":"Cardiology"}`, queue)
	if status, answer, err := p.post("/api/waiting-room/check-in", body); status != 200 {
		p.t.Fatal(status, answer, err)
	}
}

// outbox runs an operator's command, which has to succeed, against the API p.
func (p *process) outbox(args ...string) string {
	p.t.Helper()
	command := run(p.t, nil, append([]string{"outbox", args[0], "--api", "http://" + p.address}, args[1:]...)...)
	if code := command.exit(); code != 0 {
		p.t.Fatalf("rlapp outbox %v: exit %d:\n%s", args, code, command.output())
	}
	return command.output()
}

// published says whether n events were.
func (p *process) published(n int) error {
	if list := p.outbox("list", "--status", "PUBLISHED"); strings.Count(list, "PUBLISHED") != n {
		return fmt.Errorf("the list is\n%s", list)
	}
	return nil
}

func (p *process) waiting(queue string) error {
	if _, monitor := p.get("/api/v1/waiting-room/" + queue + "/monitor"); monitor["totalPatientsWaiting"] != 1.0 {
		return fmt.Errorf("the monitor of %s shows %v", queue, monitor)
	}
	return nil
}

// Queues or bindings that somebody deletes are made again before an event is given up:
// all arrive, without a person and also before their handlers come back.
func TestDeletedQueuesAndBindingsAreMadeAgain(t *testing.T) {
	queues := map[string]string{ // with their bindings
		schema.Topic + ".projections":                   "#",
		schema.Topic + ".plugin.triage.urgent-check-in": "PatientCheckedIn.*",
	}
	for name, spoil := range map[string]func(channel *amqp.Channel, queue, key string) error{
		"queues": func(channel *amqp.Channel, queue, _ string) error {
			_, err := channel.QueueDelete(queue, false, false, false)
			return err
		},
		"bindings": func(channel *amqp.Channel, queue, key string) error {
			return channel.QueueUnbind(queue, key, schema.Topic, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			env := services(t)
			run(t, env, "worker").started()
			api := run(t, env, "api").started()
			api.checkIn("queue-0")
			eventually(t, func() error { return api.published(2) })
			for queue, key := range queues {
				onBroker(t, env, func(channel *amqp.Channel) error { return spoil(channel, queue, key) })
			}
			api.checkIn("queue-1")
			api.checkIn("queue-2")
			eventually(t, func() error { return api.published(6) })
			if list := api.outbox("list"); strings.Contains(list, "UNROUTABLE") {
				t.Errorf("the list is\n%s", list)
			}
			run(t, env, "projections").started()
			eventually(t, func() error { return errors.Join(api.waiting("queue-1"), api.waiting("queue-2")) })
		})
	}
}

// An event that no queue takes waits as UNROUTABLE, with the reason; an operator finds
// it, mends the cause and has it published. One that nobody needs is discarded.
func TestOperatorsFindAndMendWhatNoQueueTakes(t *testing.T) {
	env := services(t)
	api := run(t, env, "api").started()
	api.checkIn("queue-1")
	api.checkIn("queue-2")
	// The relay makes the queues of all handlers anew before it gives an event up, so it
	// takes another way to have one that nobody takes.
	if _, err := openPool(t, api).Exec(t.Context(), `
		UPDATE waiting_room_outbox SET unroutable = true, parked_at = now(), retry_count = 1, last_error = 'UNROUTABLE: NO_ROUTE'`); err != nil {
		t.Fatal(err)
	}
	run(t, env, "worker").started()
	run(t, env, "projections").started()
	if list := api.outbox("list", "--status", "UNROUTABLE"); strings.Count(list, "NO_ROUTE") != 4 {
		t.Errorf("the list is\n%s", list)
	}
	first, second := idOf(api.outbox("list", "--queue", "queue-1")), ""
	if shown := api.outbox("show", first); !strings.Contains(shown, `"status": "UNROUTABLE"`) {
		t.Errorf("got %s", shown)
	}
	api.outbox("discard", first, "--actor", "ada", "--reason", "a test patient")
	if second = idOf(api.outbox("list", "--queue", "queue-1", "--status", "UNROUTABLE")); second == first {
		t.Error("a discarded event still waits")
	}
	api.outbox("discard", second, "--actor", "ada", "--reason", "a test patient")

	if did := api.outbox("retry", "--status", "UNROUTABLE", "--actor", "ada", "--reason", "the queue is back"); !strings.Contains(did, "(2 changed)") {
		t.Errorf("got %s", did)
	}
	eventually(t, func() error { return api.published(2) })
	eventually(t, func() error { return api.waiting("queue-2") })
	if _, record := api.get("/api/operator-actions"); len(record["actions"].([]any)) != 3 {
		t.Errorf("the record is %v", record)
	}
	if p := run(t, nil, "outbox", "retry", "4711", "--api", "http://"+api.address); p.exit() == 0 || !strings.Contains(p.output(), "is not known") {
		t.Errorf("an unknown event: %s", p.output())
	}
}

// idOf is the id in the first row of a list.
func idOf(list string) string { return strings.Fields(strings.Split(list, "\n")[1])[0] }
