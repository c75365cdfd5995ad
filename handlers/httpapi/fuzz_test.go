package httpapi_test

import (
	"net/http"
	"slices"
	"testing"
)

// Whatever comes as a check-in is taken or refused with a problem; it never is an error
// of ours, and what is refused changes nothing.
func FuzzCheckIn(f *testing.F) {
	for _, body := range []string{
		johnDoe, ``, `null`, `[]`, johnDoe[:40], with("age", `1e400`), with("age", `-1`), with("patientName", `"\u0000"`), with("surprise", `1`),
		with("queueId", `"\u202e"`), `{"queueId":"a","queueId":"b"}`, "\xff\xfe",
	} {
		f.Add(body, "application/json")
	}
	f.Add(johnDoe, "text/plain")
	fixture := newFixture(f)
	allowed := []int{
		http.StatusOK, http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
		http.StatusUnprocessableEntity,
	}
	f.Fuzz(func(t *testing.T, body, contentType string) {
		if !printable(contentType) {
			t.Skip("the client itself refuses such a header")
		}
		own := *fixture
		own.t = t
		before := stored(t, fixture)
		got := own.do(http.MethodPost, "/api/waiting-room/check-in", contentType, body)
		if !slices.Contains(allowed, got.status) {
			t.Fatalf("%d: %s", got.status, got.body)
		}
		if after := stored(t, fixture); got.status != http.StatusOK && after != before {
			t.Fatalf("a refused check-in (%d) stored %d events", got.status, after-before)
		}
	})
}

func printable(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(c byte) bool { return c < ' ' || c > '~' })
}

func stored(t testing.TB, f *fixture) (n int) {
	t.Helper()
	if err := f.pool.QueryRow(t.Context(), "SELECT count(*) FROM waiting_room_events").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
