package schema_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/schema"
)

// Snapshots that earlier builds stored are read as long as their version is
// SnapshotVersion, so the golden file of a version is never changed.
func TestTheSnapshotIsGolden(t *testing.T) {
	snapshot := schema.QueueSnapshot{
		MaxCapacity: 100, ActiveRooms: []string{"room-1"}, TicketDay: "2026-02-19", TicketsGiven: 2,
		Visits: []schema.Visit{
			{PatientID: "patient-1", PatientName: "John Doe", Priority: 3, ConsultationType: "Cardiology", Arrival: 2, Status: "waiting-cashier"},
			{
				PatientID: "patient-2", PatientName: "Jane Roe", Priority: 1, ConsultationType: "Cardiology", Arrival: 3, Status: "called",
				Place: "room-1", PaymentAttempts: 1, CashierAbsences: 2, ConsultationAbsences: 1,
			},
		},
	}
	state, err := schema.EncodeSnapshot(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "snapshots", fmt.Sprintf("QueueSnapshot.v%d.json", schema.SnapshotVersion))
	if *update {
		writeGolden(t, file, state)
	}
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range [][]byte{golden, state} {
		decoded, err := schema.DecodeSnapshot(form)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(snapshot, decoded); diff != "" {
			t.Errorf("reading %s gives another snapshot (-want +got):\n%s", form, diff)
		}
	}
	for _, broken := range []string{"{", "null", "{}", "[]", `{"maxCapacity": "100"}`} {
		var unreadable *schema.SnapshotError
		if _, err := schema.DecodeSnapshot([]byte(broken)); !errors.As(err, &unreadable) {
			t.Errorf("%s: got %v", broken, err)
		}
	}
}
