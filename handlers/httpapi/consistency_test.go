package httpapi_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// A client that gives the position of its command reads what it wrote, from every view.
func TestReadYourWrites(t *testing.T) {
	f := newFixture(t)
	position := f.post(checkInPath, johnDoe).json(t)["position"]
	paths := []string{
		"/api/waiting-room/monitor", "/api/v1/waiting-room/queue-1/monitor", "/api/v1/waiting-room/queue-1/queue-state",
		"/api/v1/waiting-room/queue-1/next-turn", "/api/v1/waiting-room/queue-1/recent-history",
	}
	// Asked for before the projections have it.
	answers := make([]answer, len(paths))
	var asking sync.WaitGroup
	for i, path := range paths {
		asking.Go(func() { answers[i] = f.get(fmt.Sprintf("%s?minPosition=%v", path, position)) })
	}
	f.project("queue-1")
	asking.Wait()
	for i, got := range answers {
		if got.status != http.StatusOK {
			t.Errorf("%s: %v", paths[i], got)
		}
	}
	if total := answers[0].json(t)["totalPatientsWaiting"]; total != 1.0 {
		t.Errorf("the monitor shows %v patients", total)
	}
}

func TestAViewThatStaysBehindSaysSo(t *testing.T) {
	f := newFixture(t)
	first := f.post(checkInPath, johnDoe).json(t)["position"]
	f.project("queue-1")
	other := `{"queueId":"queue-1","patientId":"patient-2","patientName":"John Doe","priority":"LOW","consultationType":"Cardiology"}`
	second := f.post(checkInPath, other).json(t)["position"]
	got := f.get(fmt.Sprintf("/api/waiting-room/monitor?minPosition=%v", second))
	if got.status != http.StatusServiceUnavailable || got.json(t)["code"] != "view_behind" || got.header.Get("Retry-After") == "" {
		t.Error(got)
	}
	if got := f.get(fmt.Sprintf("/api/waiting-room/monitor?minPosition=%v", first)); got.status != http.StatusOK {
		t.Error(got)
	}
	if got := f.get("/api/waiting-room/monitor?minPosition=-1"); got.status != http.StatusUnprocessableEntity {
		t.Error(got)
	}
}
