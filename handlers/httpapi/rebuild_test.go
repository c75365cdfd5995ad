package httpapi_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/handlers/httpapi"
	"github.com/rlapp/rlapp/readmodel"
)

// heldLog keeps a rebuild from its end: it has written that it is done, and says so in the log.
type heldLog struct {
	once             sync.Once
	written, release chan struct{}
}

func (*heldLog) Enabled(context.Context, slog.Level) bool { return true }
func (h *heldLog) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h *heldLog) WithGroup(string) slog.Handler          { return h }

func (h *heldLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "rebuild done" {
		h.once.Do(func() { close(h.written); <-h.release })
	}
	return nil
}

// Who is told that a rebuild is done may begin the next at once.
func TestWhatIsDoneMayBeginAgain(t *testing.T) {
	f := newFixture(t)
	h := &heldLog{written: make(chan struct{}), release: make(chan struct{})}
	rebuilds := readmodel.NewRebuilder(f.views, slog.New(h))
	t.Cleanup(rebuilds.Close)
	registry := prometheus.NewRegistry()
	api, err := httpapi.New(newBus(t, f.pool, command.Config{}), f.views, rebuilds, httpapi.NewOperations(registry), slog.New(slog.DiscardHandler), registry, httpapi.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	f.url = server.URL
	f.post("/api/waiting-room/check-in", johnDoe)

	if got := f.post("/api/projections/rebuild?projectionId=monitor", ""); got.status != http.StatusAccepted {
		t.Fatal(got)
	}
	<-h.written
	if got := f.get("/api/projections/monitor/rebuild").json(t); got["status"] != "CATCHING_UP" || got["endedAt"] != nil {
		t.Errorf("before its end it is %v", got)
	}
	close(h.release)
	eventually(t, func() bool { return f.get("/api/projections/monitor/rebuild").json(t)["status"] == "DONE" })
	if got := f.post("/api/projections/monitor/rebuild/rollback", `{"actor":"ada"}`); got.status != http.StatusAccepted {
		t.Error(got)
	}
}

// Another API process answers for a rebuild as the one that runs it does.
func TestWhatAnotherProcessRebuildsIsAConflict(t *testing.T) {
	connString := postgrestest.Migrated(t)
	f, other := newFixtureOn(t, connString), newFixtureOn(t, connString)
	f.post("/api/waiting-room/check-in", johnDoe)
	asked := 0
	_, err := f.views.Rebuild(t.Context(), readmodel.Monitor, func(readmodel.Progress) {
		asked++
		for _, got := range []answer{
			other.post("/api/projections/rebuild?projectionId=monitor&actor=ada", ""), other.post("/api/projections/rebuild", ""),
			other.post("/api/projections/monitor/rebuild/rollback", `{"actor":"ada"}`),
		} {
			if got.status != http.StatusConflict || got.json(t)["code"] != "rebuild_running" {
				t.Error(got)
			}
		}
	})
	if err != nil || asked == 0 {
		t.Errorf("asked %d times, error %v", asked, err)
	}
	if n := f.count("SELECT count(*) FROM operator_actions"); n != 0 {
		t.Errorf("%d actions were recorded that began nothing", n)
	}
}
