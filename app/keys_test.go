package main_test

import (
	"net/http"
	"strings"
	"testing"
)

// ended runs a command to its end and returns what it says.
func ended(t *testing.T, env []string, want int, args ...string) string {
	t.Helper()
	p := run(t, env, args...)
	if code := p.exit(); code != want {
		t.Fatalf("rlapp %v: exit %d, want %d:\n%s", args, code, want, p.output())
	}
	return strings.TrimSpace(p.output())
}

// Keys are made, listed and ended by command, and the API asks for them; operators show
// theirs with their commands.
func TestKeysByCommand(t *testing.T) {
	env := services(t)
	display := ended(t, env, 0, "key", "create", "display-3", "--role", "display", "--role", "reception", "--queue", "queue-1")
	operator := ended(t, env, 0, "key", "create", "ada", "--role", "operator")
	old := ended(t, env, 0, "key", "create", "kiosk-0", "--role", "reception")
	if said := ended(t, env, 1, "key", "create", "ada", "--role", "operator"); !strings.Contains(said, "there is a key of that name") {
		t.Errorf("a second key of the name: %s", said)
	}
	ended(t, env, 1, "key", "create", "x", "--role", "janitor")
	ended(t, env, 1, "key", "create", "x")
	if said := ended(t, env, 0, "key", "revoke", "kiosk-0", "--actor", "grace", "--reason", "it was stolen"); !strings.Contains(said, "within ten seconds") {
		t.Errorf("revoke says %s", said)
	}
	ended(t, env, 1, "key", "revoke", "kiosk-0")
	list := ended(t, env, 0, "key", "list")
	lines := strings.Split(list, "\n")
	if len(lines) != 4 || strings.Contains(list, display) || !strings.HasPrefix(lines[0], "NAME") {
		t.Fatalf("the list is:\n%s", list)
	}
	for i, want := range [][]string{{"ada", "operator"}, {"display-3", "display,reception", "queue-1"}, {"kiosk-0", "reception"}} {
		fields := strings.Fields(lines[i+1])
		for n, field := range want {
			if fields[n] != field {
				t.Errorf("the list has %q, want %v", lines[i+1], want)
			}
		}
		// When it was made, and perhaps ended, are a day and a time each.
		if revoked := len(fields) == len(want)+4; revoked != (want[0] == "kiosk-0") {
			t.Errorf("revoked: %q", lines[i+1])
		}
	}

	api := run(t, append(env, "Auth__ApiKeys=true"), "api").started()
	const board = "/api/v1/waiting-room/queue-1/board" // of a queue without a patient, which does not exist
	for name, tt := range map[string]struct {
		key, path string
		want      int
	}{
		"no key": {"", board, http.StatusUnauthorized}, "an ended key": {old, board, http.StatusUnauthorized},
		"a display": {display, board, http.StatusNotFound}, "another queue": {display, "/api/v1/waiting-room/queue-2/board", http.StatusForbidden},
		"another role": {display, "/api/outbox", http.StatusForbidden},
	} {
		if got := api.status(tt.path, tt.key); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
	outbox := []string{"outbox", "list", "--api", "http://" + api.address}
	if said := ended(t, nil, 1, outbox...); !strings.Contains(said, "401") {
		t.Errorf("an operator without a key is told %s", said)
	}
	ended(t, nil, 0, append(outbox, "--api-key", operator)...)
	ended(t, []string{"RLAPP_API_KEY=" + operator}, 0, outbox...)

	actions := []string{"actions", "--api", "http://" + api.address, "--api-key", operator}
	newest := ended(t, nil, 0, append(actions, "--limit", "1")...)
	for _, want := range []string{"grace", "key.revoke", "kiosk-0", "it was stolen", "more: --before 4"} {
		if !strings.Contains(newest, want) {
			t.Errorf("%q is not in the newest action:\n%s", want, newest)
		}
	}
	if rest := ended(t, nil, 0, append(actions, "--before", "4")...); strings.Count(rest, "key.create") != 3 || strings.Contains(rest, "revoke") {
		t.Errorf("the actions before it are\n%s", rest)
	}
}

// status is what a holder of a key gets at a path.
func (p *process) status(path, key string) int {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.address+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// Beyond this machine an API that asks nobody starts when it is told to, and not otherwise.
func TestAnInsecureAPIByCommand(t *testing.T) {
	env := append(services(t), "Api__Address=0.0.0.0:0")
	if said := ended(t, env, 1, "api"); !strings.Contains(said, "--insecure") {
		t.Errorf("the error does not say what to do: %s", said)
	}
	api := run(t, env, "api", "--insecure").started()
	if status, _ := api.get("/api/waiting-room/monitor"); status != http.StatusOK {
		t.Errorf("the monitor: %d", status)
	}
	api.terminate()
}
