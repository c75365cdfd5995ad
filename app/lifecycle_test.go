package main_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestASecondStartFindsTheDataAgain(t *testing.T) {
	env := []string{"Embedded__DataDirectory=" + dataDirectory(t)}
	first := run(t, env).started()
	walkPipeline(t, first)
	first.terminate()
	second := run(t, env).started()
	if _, monitor := second.get("/api/waiting-room/monitor"); monitor["totalPatientsWaiting"] != 1.0 {
		t.Errorf("the second start shows %v", monitor)
	}
	second.terminate()
}

func TestTwoAtOnceIsAClearError(t *testing.T) {
	directory := dataDirectory(t)
	env := []string{"Embedded__DataDirectory=" + directory}
	first := run(t, env).started()
	second := run(t, env)
	if code := second.exit(); code == 0 {
		t.Error("a second process started on the same data")
	}
	if output := second.output(); !strings.Contains(output, directory) || !strings.Contains(output, "in use") {
		t.Errorf("the error does not name the directory:\n%s", output)
	}
	if status, _ := first.get("/health"); status != http.StatusOK {
		t.Errorf("the first is hurt: %d", status)
	}
}

// After a kill -9 the private PostgreSQL is gone too, and the next start works.
func TestAKilledProcessStartsAgain(t *testing.T) {
	env := []string{"Embedded__DataDirectory=" + dataDirectory(t)}
	first := run(t, env).started()
	walkPipeline(t, first)
	first.kill()
	second := run(t, env).started()
	if _, monitor := second.get("/api/waiting-room/monitor"); monitor["totalPatientsWaiting"] != 1.0 {
		t.Errorf("after the crash: %v", monitor)
	}
	second.terminate()
}

// The embedded default works for an ordinary user; the other tests here run it
// as whoever runs them, root in CI.
func TestAnOrdinaryUserCanRunEverything(t *testing.T) {
	if os.Getuid() != 0 {
		walkPipeline(t, run(t, []string{"Embedded__DataDirectory=" + dataDirectory(t)}).started())
		return
	}
	const nobody = 65534
	home := dataDirectory(t)
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	p := runAs(t, &syscall.Credential{Uid: nobody, Gid: nobody}, []string{"HOME=" + home}).started()
	walkPipeline(t, p)
	p.terminate()
	if _, err := os.Stat(filepath.Join(home, ".local/share/rlapp")); err != nil {
		t.Errorf("the data is not in the user's own directory: %v", err)
	}
}

// SIGTERM under load: every request that was taken is answered, the exit is clean.
func TestSIGTERMFinishesWhatIsInFlight(t *testing.T) {
	env := append(services(t), "WaitingRoom__MaxCapacity=1000")
	api := run(t, env, "api").started()
	projections := run(t, env, "projections").started()
	worker := run(t, env, "worker").started()
	load := newLoad(api)
	var sending sync.WaitGroup
	stopped := make(chan struct{})
	sending.Go(func() {
		load.send(0, crashCheckIns, func(done int) {
			if done == crashCheckIns/2 {
				close(stopped)
			}
		})
	})
	<-stopped
	api.terminate()
	worker.terminate()
	projections.terminate()
	sending.Wait()
	load.api = run(t, env).started() // everything in one process finishes the work
	load.verify(t)
	load.api.terminate()
}

func TestMistakesAreReportedTogether(t *testing.T) {
	p := run(t, []string{"RabbitMq__Port=many", "OutboxDispatcher__BatchSize=0", "EventStore__ConnectionString=Host=x;Colour=blue"}, "worker")
	if code := p.exit(); code == 0 {
		t.Error("it started")
	}
	for _, key := range []string{"RabbitMq__Port", "OutboxDispatcher__BatchSize", "EventStore__ConnectionString"} {
		if !strings.Contains(p.output(), key) {
			t.Errorf("the error does not name %s:\n%s", key, p.output())
		}
	}
}

func TestAServiceWithoutASchemaSaysWhatToDo(t *testing.T) {
	p := run(t, emptyServices(t), "api")
	if code := p.exit(); code == 0 || !strings.Contains(p.output(), "--init-db") {
		t.Errorf("exit %d:\n%s", code, p.output())
	}
}

func TestAMissingPostgreSQLNamesThreeWays(t *testing.T) {
	p := run(t, []string{"PATH=/nonexistent", "Embedded__BinDirectory=/nonexistent", "Embedded__Download=false", "Embedded__DataDirectory=" + dataDirectory(t)})
	if code := p.exit(); code == 0 {
		t.Error("it started")
	}
	for _, way := range []string{"apt-get install postgresql", "EventStore__ConnectionString", "docker"} {
		if !strings.Contains(p.output(), way) {
			t.Errorf("the error does not name %q:\n%s", way, p.output())
		}
	}
}

func TestHealthCommand(t *testing.T) {
	env := services(t)
	api := run(t, env, "api").started()
	if code := run(t, nil, "health", "http://"+api.address+"/health/ready").exit(); code != 0 {
		t.Errorf("a healthy process: exit %d", code)
	}
	if code := run(t, nil, "health", "http://127.0.0.1:1/health").exit(); code == 0 {
		t.Error("a process that is not there is healthy")
	}
}

// With Seq__Url set, logs go to Seq over OTLP too, with the key.
func TestLogsGoToSeq(t *testing.T) {
	received := make(chan *http.Request, 100)
	seq := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case received <- r:
		default:
		}
	}))
	defer seq.Close()
	p := run(t, append(services(t), "Seq__Url="+seq.URL, "Seq__ApiKey=key-1"), "api").started()
	p.terminate() // flushes
	select {
	case r := <-received:
		if r.URL.Path != "/ingest/otlp/v1/logs" || r.Header.Get("X-Seq-ApiKey") != "key-1" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("Seq was sent %s with %v", r.URL.Path, r.Header)
		}
	default:
		t.Error("Seq was sent nothing")
	}
}
