package command_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/handlers/command"
	"github.com/rlapp/rlapp/waitingroom"
)

// Tickets are counted by the clinic's day, which is not that of UTC.
func TestTicketsAreOfTheClinicsDay(t *testing.T) {
	bogota := time.FixedZone("Bogota", -5*60*60)
	now, store := time.Time{}, &memory{}
	bus := runBus(t, command.NewHandlers(store, command.Config{Location: bogota, Now: func() time.Time { return now }}), prometheus.NewRegistry())
	var tickets []string
	for n, at := range []string{
		"2026-02-19T23:30:00Z", "2026-02-20T00:30:00Z", "2026-02-20T04:59:59Z", // 18:30, 19:30 and 23:59 of the 19th
		"2026-02-20T05:00:00Z", "2026-02-20T23:00:00Z", // midnight and 18:00 of the 20th
	} {
		var err error
		if now, err = time.Parse(time.RFC3339, at); err != nil {
			t.Fatal(err)
		}
		appended, err := command.Send(t.Context(), bus, numbered(n))
		if err != nil {
			t.Fatal(err)
		}
		arrived := appended.Last.(waitingroom.PatientCheckedIn)
		if !arrived.CheckInTime.Equal(now) {
			t.Errorf("checked in at %v, want %v", arrived.CheckInTime, now)
		}
		tickets = append(tickets, arrived.TicketDay+" "+arrived.TicketNumber)
	}
	want := []string{"2026-02-19 A-001", "2026-02-19 A-002", "2026-02-19 A-003", "2026-02-20 A-001", "2026-02-20 A-002"}
	if diff := cmp.Diff(want, tickets); diff != "" {
		t.Errorf("tickets differ (-want +got):\n%s", diff)
	}
}
