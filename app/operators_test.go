package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// operate runs an operator's command against the API p, and returns what it says and its
// exit code.
func (p *process) operate(args ...string) (said string, code int) {
	p.t.Helper()
	command := run(p.t, nil, append(args, "--api", "http://"+p.address)...)
	code = command.exit()
	return command.output(), code
}

// ask runs an operator's command that has to succeed.
func (p *process) ask(args ...string) string {
	p.t.Helper()
	said, code := p.operate(args...)
	if code != 0 {
		p.t.Fatalf("rlapp %v: exit %d:\n%s", args, code, said)
	}
	return said
}

// What operators do by command: look at projections, rebuild them, put the old ones
// back, rebuild a queue, archive and prune.
func TestOperatorsRebuildAndPruneByCommand(t *testing.T) {
	p := run(t, []string{"Embedded__DataDirectory=" + dataDirectory(t)}).started()
	says := func(text string, args ...string) func() error {
		return func() error {
			if said := p.ask(args...); !strings.Contains(said, text) {
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
	p.ask("projection", "rebuild", "monitor", "--actor", "ada", "--reason", "a test")
	eventually(t, says(`"status": "DONE"`, "projection", "status", "monitor"))
	p.ask("projection", "rollback", "monitor", "--actor", "ada")
	eventually(t, says(`"rollBack": true`, "projection", "status", "monitor"))
	p.ask("projection", "rebuild-queue", "q", "--actor", "ada")
	p.ask("retention", "run", "--actor", "ada")
	eventually(t, says("ARCHIVED", "retention", "list"))
	p.ask("retention", "run", "--actor", "ada")
	eventually(t, says("more: --before ", "retention", "list", "--limit", "1"))
	if first := p.ask("retention", "list", "--before", "2"); strings.Count(first, "\n") != 2 {
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
	first := p.ask("poison", "groups", "--limit", "1")
	_, after, more := strings.Cut(strings.TrimSpace(first), "more: --after ")
	if !more || !strings.Contains(first, "group-2") || strings.Contains(first, "group-1") {
		t.Fatalf("the first page is\n%s", first)
	}
	if second := p.ask("poison", "groups", "--limit", "1", "--after", after); !strings.Contains(second, "group-1") || strings.Contains(second, "more:") {
		t.Errorf("the second page is\n%s", second)
	}
}

// store is the database of an API alone, in which a test arranges what operators find:
// nothing is published, and nothing replayed.
type store struct {
	t    *testing.T
	pool *pgxpool.Pool
}

func (s store) exec(statements ...string) {
	s.t.Helper()
	for _, statement := range statements {
		if _, err := s.pool.Exec(s.t.Context(), statement); err != nil {
			s.t.Fatal(err)
		}
	}
}

// rows are the texts that a query returns.
func (s store) rows(query string) []string {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), query)
	if err != nil {
		s.t.Fatal(err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	return texts
}

// record is what is recorded of what operators did.
func (s store) record() []string {
	s.t.Helper()
	return s.rows("SELECT concat_ws(', ', actor, action, target, reason, affected) FROM operator_actions ORDER BY id")
}

// wantListed checks which rows a list has, by the first column, and whether it goes on.
func (p *process) wantListed(want []string, more string, args ...string) {
	p.t.Helper()
	list := p.ask(args...)
	rows, next, _ := strings.Cut(list, "more: ")
	var got []string
	for _, row := range strings.Split(strings.TrimSpace(rows), "\n")[1:] {
		got = append(got, strings.Fields(row)[0])
	}
	if !slices.Equal(want, got) || more != strings.TrimSpace(next) {
		p.t.Errorf("rlapp %v lists %v and ends with %q; want %v and %q:\n%s", args, got, next, want, more, list)
	}
}

// shown is what a command shows as JSON.
func (p *process) shown(args ...string) (object map[string]any) {
	p.t.Helper()
	said := p.ask(args...)
	if err := json.Unmarshal([]byte(said), &object); err != nil {
		p.t.Fatalf("rlapp %v: %v:\n%s", args, err, said)
	}
	return object
}

// poisonRows are messages of two handlers and two groups, which cross. The last two are
// settled.
const poisonRows = `
	INSERT INTO poison_messages (id, message_id, handler, failure_group, status, topic, event_name, aggregate_id, reason, attempts, stack, payload, metadata)
	SELECT id, 'm-' || id, handler, failure_group, status, 't', 'PatientCalled', 'queue-' || id, 'no ink', 6, 'goroutine ' || id,
	       convert_to('{"patientId":"p-' || id || '"}', 'UTF8'), '{"correlation_id":"c-1"}'
	FROM (VALUES (1, 'one', 'g-1', 'WAITING'), (2, 'one', 'g-2', 'WAITING'), (3, 'two', 'g-1', 'WAITING'), (4, 'two', 'g-2', 'WAITING'),
	             (5, 'one', 'g-1', 'REPLAYED'), (6, 'two', 'g-2', 'DISCARDED')) AS m (id, handler, failure_group, status)`

// Operators list what handlers gave up, and look at one message with its content.
func TestOperatorsFindPoisonByCommand(t *testing.T) {
	p := run(t, services(t), "api").started()
	store{t, openPool(t, p)}.exec(poisonRows)
	for _, tt := range []struct {
		flags []string
		want  []string
		more  string
	}{
		{nil, []string{"1", "2", "3", "4", "5", "6"}, ""},
		{[]string{"--status", "DISCARDED"}, []string{"6"}, ""},
		{[]string{"--handler", "one"}, []string{"1", "2", "5"}, ""},
		{[]string{"--group", "g-2"}, []string{"2", "4", "6"}, ""},
		{[]string{"--status", "WAITING", "--handler", "two", "--group", "g-1"}, []string{"3"}, ""},
		{[]string{"--limit", "2"}, []string{"1", "2"}, "--after 2"},
		{[]string{"--after", "4", "--limit", "2"}, []string{"5", "6"}, ""},
	} {
		p.wantListed(tt.want, tt.more, append([]string{"poison", "list"}, tt.flags...)...)
	}
	row := strings.Fields(strings.Split(p.ask("poison", "list", "--limit", "1"), "\n")[1])
	if diff := cmp.Diff([]string{"1", "WAITING", "one", "PatientCalled", "queue-1", "6", "no", "ink"}, slices.Delete(row, 6, 7)); diff != "" {
		t.Errorf("beside the time the row differs (-want +got):\n%s", diff)
	}
	shown := p.shown("poison", "show", "3")
	want := map[string]any{
		"id": 3.0, "reason": "no ink", "stack": "goroutine 3", "payload": map[string]any{"patientId": "p-3"}, "metadata": map[string]any{"correlation_id": "c-1"},
	}
	for field, value := range want {
		if diff := cmp.Diff(value, shown[field]); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", field, diff)
		}
	}
	if said, code := p.operate("poison", "show", "4711"); code == 0 || !strings.Contains(said, "is not known") {
		t.Errorf("an unknown message: exit %d:\n%s", code, said)
	}
}

// A rehearsal tells of each message what a replay would do, and does nothing.
func TestOperatorsRehearseByCommand(t *testing.T) {
	p := run(t, services(t), "api").started()
	p.checkIn("queue-1")
	s := store{t, openPool(t, p)}
	s.exec(poisonRows, `
		INSERT INTO poison_messages (id, message_id, handler, failure_group, topic, event_name, reason, payload, metadata)
		SELECT 7, event_id::text, 'projection.monitor', 'g-1', 't', event_name, 'r', convert_to(payload::text, 'UTF8'), metadata
		FROM waiting_room_outbox WHERE event_name = 'WaitingQueueCreated'`)
	before := s.rows("SELECT m::text FROM poison_messages AS m ORDER BY id")
	for _, tt := range []struct {
		flags []string
		want  []string
	}{
		{nil, []string{"1", "2", "3", "4", "7"}}, // those that wait
		{[]string{"--handler", "two"}, []string{"3", "4"}},
		{[]string{"--group", "g-1"}, []string{"1", "3", "7"}},
		{[]string{"--handler", "one", "--group", "g-2"}, []string{"2"}},
		{[]string{"--limit", "3"}, []string{"1", "2", "3"}},
	} {
		p.wantListed(tt.want, "", append([]string{"poison", "rehearse"}, tt.flags...)...)
	}
	said := strings.Split(p.ask("poison", "rehearse", "--group", "g-1"), "\n")
	for line, want := range map[int]string{
		1: "1 NOT_REHEARSABLE one what this handler does cannot be undone", 3: "7 WOULD_SUCCEED projection.monitor",
	} {
		if got := strings.Join(strings.Fields(said[line]), " "); !strings.HasPrefix(got, want) {
			t.Errorf("line %d says %q, want %q", line, got, want)
		}
	}
	if diff := cmp.Diff(before, s.rows("SELECT m::text FROM poison_messages AS m ORDER BY id")); diff != "" {
		t.Errorf("the rehearsals changed messages (-before +after):\n%s", diff)
	}
	if record := s.record(); len(record) > 0 {
		t.Errorf("the record is %v", record)
	}
}

// What operators choose is replayed or given up, and nothing else, and it is recorded who
// did it and why.
func TestOperatorsSettlePoisonByCommand(t *testing.T) {
	p := run(t, services(t), "api").started()
	s := store{t, openPool(t, p)}
	poisoned := func() []string {
		t.Helper()
		return s.rows("SELECT id || ' ' || status FROM poison_messages ORDER BY id")
	}
	for what, status := range map[string]string{"replay": "REPLAYING", "discard": "DISCARDED"} {
		for _, tt := range []struct {
			choice  []string
			target  string
			changed []int
		}{
			{[]string{"2"}, "2", []int{2}},
			{[]string{"--handler", "one"}, "handler=one", []int{1, 2}},
			{[]string{"--group", "g-1"}, "group=g-1", []int{1, 3}},
			{[]string{"--handler", "two", "--group", "g-2"}, "handler=two group=g-2", []int{4}},
			{[]string{"--all"}, "all", []int{1, 2, 3, 4}},
		} {
			t.Run(what+" "+tt.target, func(t *testing.T) {
				s.exec("TRUNCATE poison_messages, operator_actions", poisonRows)
				want := poisoned()
				for _, id := range tt.changed {
					want[id-1] = fmt.Sprintf("%d %s", id, status)
				}
				said := p.ask(append([]string{"poison", what, "--actor", "ada", "--reason", "new ink"}, tt.choice...)...)
				if !strings.Contains(said, fmt.Sprintf("(%d changed)", len(tt.changed))) {
					t.Errorf("it says %s", said)
				}
				if diff := cmp.Diff(want, poisoned()); diff != "" {
					t.Errorf("the messages differ (-want +got):\n%s", diff)
				}
				record := fmt.Sprintf("ada, poison.%s, %s, new ink, %d", what, tt.target, len(tt.changed))
				if diff := cmp.Diff([]string{record}, s.record()); diff != "" {
					t.Errorf("the record differs (-want +got):\n%s", diff)
				}
			})
		}
	}

	s.exec("TRUNCATE poison_messages, operator_actions", poisonRows)
	before := poisoned()
	for _, what := range []string{"replay", "discard"} {
		for _, tt := range []struct {
			choice []string
			says   string
		}{
			{nil, "say which"},
			{[]string{"5"}, "is REPLAYED"},
			{[]string{"4711"}, "is not known"},
		} {
			if said, code := p.operate(append([]string{"poison", what, "--actor", "ada"}, tt.choice...)...); code == 0 || !strings.Contains(said, tt.says) {
				t.Errorf("%s %v: exit %d:\n%s", what, tt.choice, code, said)
			}
		}
	}
	if diff := cmp.Diff(before, poisoned()); diff != "" {
		t.Errorf("what was refused changed messages (-before +after):\n%s", diff)
	}
	if record := s.record(); len(record) > 0 {
		t.Errorf("what was refused is recorded: %v", record)
	}
}

// outboxRows are events of two names and two queues in each state that waits for something,
// and in two that do not.
const outboxRows = `
	INSERT INTO waiting_room_outbox (id, aggregate_id, event_name, payload, retry_count, last_error, next_attempt_at, parked_at, unroutable, published) VALUES
	(1, 'queue-1', 'PatientCheckedIn', '{}', 2, 'nacked', now() + interval '1 hour', NULL, false, false),
	(2, 'queue-1', 'PatientCalled', '{}', 5, 'too large', NULL, now(), false, false),
	(3, 'queue-2', 'PatientCheckedIn', '{}', 5, 'too large', NULL, now(), false, false),
	(4, 'queue-2', 'PatientCalled', '{}', 1, 'NO_ROUTE', NULL, now(), true, false),
	(5, 'queue-1', 'PatientCheckedIn', '{}', 0, NULL, NULL, NULL, false, false),
	(6, 'queue-2', 'PatientCheckedIn', '{}', 0, NULL, NULL, NULL, false, true)`

// Operators list the outbox, and look at one event with its last error.
func TestOperatorsFindEventsOfTheOutboxByCommand(t *testing.T) {
	p := run(t, services(t), "api").started()
	store{t, openPool(t, p)}.exec(outboxRows)
	for _, tt := range []struct {
		flags []string
		want  []string
		more  string
	}{
		{nil, []string{"1", "2", "3", "4", "5", "6"}, ""},
		{[]string{"--status", "PARKED"}, []string{"2", "3"}, ""},
		{[]string{"--event-name", "PatientCalled"}, []string{"2", "4"}, ""},
		{[]string{"--queue", "queue-1"}, []string{"1", "2", "5"}, ""},
		{[]string{"--status", "PARKED", "--event-name", "PatientCheckedIn", "--queue", "queue-2"}, []string{"3"}, ""},
		{[]string{"--limit", "2"}, []string{"1", "2"}, "--after 2"},
		{[]string{"--after", "4", "--limit", "2"}, []string{"5", "6"}, ""},
	} {
		p.wantListed(tt.want, tt.more, append([]string{"outbox", "list"}, tt.flags...)...)
	}
	row := strings.Fields(strings.Split(p.ask("outbox", "list", "--status", "UNROUTABLE"), "\n")[1])
	if diff := cmp.Diff([]string{"4", "UNROUTABLE", "PatientCalled", "queue-2", "1", "-", "NO_ROUTE"}, slices.Delete(row, 5, 6)); diff != "" {
		t.Errorf("beside the time the row differs (-want +got):\n%s", diff)
	}
	if shown := p.shown("outbox", "show", "3"); shown["id"] != 3.0 || shown["status"] != "PARKED" || shown["lastError"] != "too large" || shown["parkedAt"] == nil {
		t.Errorf("the event is shown as %v", shown)
	}
}

// What operators choose of the outbox is due at once, or never, and nothing else, and it is
// recorded who did it and why.
func TestOperatorsSettleEventsOfTheOutboxByCommand(t *testing.T) {
	p := run(t, services(t), "api").started()
	s := store{t, openPool(t, p)}
	events := func() []string {
		t.Helper()
		return s.rows(`
			SELECT id || CASE WHEN published THEN ' ' || status WHEN coalesce(next_attempt_at, parked_at) IS NULL THEN ' due' ELSE ' waits' END
			FROM waiting_room_outbox ORDER BY id`)
	}
	for _, tt := range []struct {
		order   []string
		target  string
		becomes string
		changed []int
	}{
		{[]string{"retry", "3"}, "3", "due", []int{3}},
		{[]string{"retry", "--status", "PARKED"}, "status=PARKED", "due", []int{2, 3}},
		{[]string{"retry", "--event-name", "PatientCheckedIn"}, "eventName=PatientCheckedIn", "due", []int{1, 3}},
		{[]string{"retry", "--queue", "queue-1"}, "queueId=queue-1", "due", []int{1, 2}},
		{[]string{"retry", "--status", "PARKED", "--event-name", "PatientCalled", "--queue", "queue-1"}, "status=PARKED eventName=PatientCalled queueId=queue-1", "due", []int{2}},
		{[]string{"retry"}, "all", "due", []int{1, 2, 3, 4}},
		{[]string{"discard", "4"}, "4", "DISCARDED", []int{4}},
	} {
		t.Run(tt.order[0]+" "+tt.target, func(t *testing.T) {
			s.exec("TRUNCATE waiting_room_outbox, operator_actions", outboxRows)
			want := events()
			for _, id := range tt.changed {
				want[id-1] = fmt.Sprintf("%d %s", id, tt.becomes)
			}
			said := p.ask(append(append([]string{"outbox"}, tt.order...), "--actor", "ada", "--reason", "a binding is back")...)
			if !strings.Contains(said, fmt.Sprintf("(%d changed)", len(tt.changed))) {
				t.Errorf("it says %s", said)
			}
			if diff := cmp.Diff(want, events()); diff != "" {
				t.Errorf("the events differ (-want +got):\n%s", diff)
			}
			record := fmt.Sprintf("ada, outbox.%s, %s, a binding is back, %d", tt.order[0], tt.target, len(tt.changed))
			if diff := cmp.Diff([]string{record}, s.record()); diff != "" {
				t.Errorf("the record differs (-want +got):\n%s", diff)
			}
		})
	}

	s.exec("TRUNCATE waiting_room_outbox, operator_actions", outboxRows)
	before := events()
	for _, tt := range []struct {
		order []string
		says  string
	}{
		{[]string{"retry", "5", "--reason", "a test"}, "is PENDING"},
		{[]string{"discard", "1", "--reason", "a test"}, "is FAILED"},
		{[]string{"discard", "4"}, "why nobody needs the event"},
		{[]string{"discard", "4711", "--reason", "a test"}, "is not known"},
		{[]string{"discard", "--reason", "a test"}, "<id>"},
	} {
		if said, code := p.operate(append([]string{"outbox"}, append(tt.order, "--actor", "ada")...)...); code == 0 || !strings.Contains(said, tt.says) {
			t.Errorf("%v: exit %d:\n%s", tt.order, code, said)
		}
	}
	if diff := cmp.Diff(before, events()); diff != "" {
		t.Errorf("what was refused changed events (-before +after):\n%s", diff)
	}
	if record := s.record(); len(record) > 0 {
		t.Errorf("what was refused is recorded: %v", record)
	}
}
