package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/schema"
)

var update = flag.Bool("update", false, "write the golden files anew")

var tenOClock = time.Date(2026, 2, 19, 10, 0, 0, 123456000, time.UTC)

// catalogue has one event of each kind, with every field set.
var catalogue = []schema.Event{
	schema.WaitingQueueCreated{QueueID: "queue-1", QueueName: "Cardiology", MaxCapacity: 100},
	schema.PatientCheckedIn{QueueID: "queue-1", PatientID: "patient-1", PatientName: "John Doe", Priority: "High", ConsultationType: "Cardiology", Notes: "wheelchair", QueuePosition: 3, CheckInTime: tenOClock, TicketNumber: "A-017", TicketDay: "2026-02-19"},
	schema.PatientCalledAtCashier{QueueID: "queue-1", PatientID: "patient-1", PatientName: "John Doe", Priority: "High", ConsultationType: "Cardiology", CashierDeskID: "desk-1"},
	schema.PatientPaymentValidated{QueueID: "queue-1", PatientID: "patient-1", PatientName: "John Doe", Priority: "High", ConsultationType: "Cardiology", PaymentReference: "ref-1"},
	schema.PatientPaymentPending{QueueID: "queue-1", PatientID: "patient-1", PatientName: "John Doe", Priority: "High", ConsultationType: "Cardiology", AttemptNumber: 2, Reason: "card refused"},
	schema.PatientAbsentAtCashier{QueueID: "queue-1", PatientID: "patient-1", RetryNumber: 1},
	schema.PatientCancelledByPayment{QueueID: "queue-1", PatientID: "patient-1", Reason: "card refused"},
	schema.PatientCancelledByAbsence{QueueID: "queue-1", PatientID: "patient-1", TotalAbsences: 3},
	schema.PatientClaimedForAttention{QueueID: "queue-1", PatientID: "patient-1", PatientName: "John Doe", Priority: "High", ConsultationType: "Cardiology", StationID: "room-1"},
	schema.PatientCalled{QueueID: "queue-1", PatientID: "patient-1", StationID: "room-1"},
	schema.PatientAbsentAtConsultation{QueueID: "queue-1", PatientID: "patient-1", RetryNumber: 1},
	schema.PatientAttentionCompleted{QueueID: "queue-1", PatientID: "patient-1", PatientName: "John Doe", Priority: "High", ConsultationType: "Cardiology", Outcome: "treated", Notes: "come again in May"},
	schema.ConsultingRoomActivated{QueueID: "queue-1", ConsultingRoomID: "room-1"},
	schema.ConsultingRoomDeactivated{QueueID: "queue-1", ConsultingRoomID: "room-1"},
}

// A golden file is what earlier builds wrote. It is never changed: a new form is
// a new version with a file of its own.
func TestWireFormsAreGolden(t *testing.T) {
	var names []string
	for _, event := range catalogue {
		name, version := event.EventName(), schema.CurrentVersion(event.EventName())
		names = append(names, name)
		t.Run(name, func(t *testing.T) {
			payload, err := schema.Encode(event)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "events", name+".v"+strconv.Itoa(version)+".json")
			if *update {
				writeGolden(t, file, payload)
			}
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want, got any
			if err := errors.Join(json.Unmarshal(golden, &want), json.Unmarshal(payload, &got)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the wire form changed (-golden +now):\n%s", diff)
			}
			decoded, err := schema.Decode(name, version, golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(event, decoded); diff != "" {
				t.Errorf("reading the golden file gives another event:\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(len(schema.EventNames()), len(names)); diff != "" {
		t.Errorf("the catalogue has %v, the test %v", schema.EventNames(), names)
	}
}

// What earlier builds wrote is read as if it were written today.
func TestEarlierVersionsAreReadToday(t *testing.T) {
	want := catalogue[1].(schema.PatientCheckedIn)
	want.TicketNumber, want.TicketDay = "", ""
	golden, err := os.ReadFile(filepath.Join("testdata", "events", "PatientCheckedIn.v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []int{0, 1} { // 0 is a row written by hand
		got, err := schema.Decode("PatientCheckedIn", version, golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(schema.Event(want), got); diff != "" {
			t.Errorf("version %d reads as another event (-want +got):\n%s", version, diff)
		}
	}
	for _, payload := range []string{`[]`, `null`, `{`, `7`} {
		var unreadable *schema.PayloadError
		if _, err := schema.Decode("PatientCheckedIn", 1, []byte(payload)); !errors.As(err, &unreadable) {
			t.Errorf("%s: got %v, want *PayloadError", payload, err)
		}
	}
}

// Every version that ever was has its golden file, and is read today.
func TestEveryVersionHasAGoldenFile(t *testing.T) {
	for _, name := range schema.EventNames() {
		for version := 1; version <= schema.CurrentVersion(name); version++ {
			golden, err := os.ReadFile(filepath.Join("testdata", "events", name+".v"+strconv.Itoa(version)+".json"))
			if err != nil {
				t.Error(err)
				continue
			}
			if _, err := schema.Decode(name, version, golden); err != nil {
				t.Errorf("%s version %d: %v", name, version, err)
			}
		}
	}
}

func writeGolden(t *testing.T, file string, payload []byte) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, payload, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	if err := os.WriteFile(file, pretty.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDecodeRefusesWhatItCannotRead(t *testing.T) {
	for name, tt := range map[string]struct {
		event   string
		version int
		payload string
		want    any
	}{
		"unknown event": {"PatientTeleported", 1, `{"queueId":"q"}`, new(*schema.UnknownEventError)},
		"newer version": {"PatientCalled", 2, `{"queueId":"q"}`, new(*schema.UnknownVersionError)},
		"broken JSON":   {"PatientCalled", 1, `{"queueId":`, new(*schema.PayloadError)},
		"wrong type":    {"PatientCalled", 1, `{"queueId":7}`, new(*schema.PayloadError)},
		"no queue":      {"PatientCalled", 1, `{}`, new(*schema.PayloadError)},
		"empty":         {"PatientCalled", 1, ``, new(*schema.PayloadError)},
		"an array":      {"PatientCalled", 1, `[]`, new(*schema.PayloadError)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := schema.Decode(tt.event, tt.version, []byte(tt.payload))
			if !errors.As(err, tt.want) || !schema.Unreadable(err) {
				t.Errorf("got %v, want %T", err, tt.want)
			}
		})
	}
}

func TestMessageRoundTrip(t *testing.T) {
	m := schema.Metadata{
		EventID: "0190b3d0-0000-7000-8000-000000000001", AggregateID: "queue-1", Version: 2, OccurredAt: tenOClock,
		CorrelationID: "c-1", CausationID: "m-1", Actor: "reception", IdempotencyKey: "k", SchemaVersion: 1,
	}
	payload, err := schema.Encode(catalogue[1])
	if err != nil {
		t.Fatal(err)
	}
	headers := schema.Headers(catalogue[1].EventName(), m)
	headers[schema.HeaderPublishedAt] = tenOClock.Add(time.Second).Format(time.RFC3339Nano)
	got, err := schema.DecodeMessage(m.EventID, headers, payload)
	if err != nil {
		t.Fatal(err)
	}
	want := schema.Recorded{Event: catalogue[1], PublishedAt: tenOClock.Add(time.Second), Metadata: m}
	want.Metadata.Actor, want.Metadata.IdempotencyKey = "", "" // they stay in the store
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the message says something else (-want +got):\n%s", diff)
	}
	for name, value := range headers {
		if bytes.Contains([]byte(value), []byte("John")) {
			t.Errorf("header %s carries a patient's name", name)
		}
	}
}

func TestDecodeMessageRefusesBadHeaders(t *testing.T) {
	payload, _ := schema.Encode(catalogue[1])
	for header, value := range map[string]string{
		schema.HeaderVersion: "0", schema.HeaderSchemaVersion: "one", schema.HeaderOccurredAt: "yesterday", schema.HeaderAggregateID: "queue-2",
	} {
		t.Run(header, func(t *testing.T) {
			headers := schema.Headers("PatientCheckedIn", schema.Metadata{AggregateID: "queue-1", Version: 1, OccurredAt: tenOClock, SchemaVersion: 1})
			headers[header] = value
			_, err := schema.DecodeMessage("id", headers, payload)
			var headerError *schema.HeaderError
			if !errors.As(err, &headerError) || headerError.Header != header {
				t.Errorf("got %v, want a *HeaderError for %s", err, header)
			}
		})
	}
}

// The lane is part of the routing key: an id must keep its lane for ever.
func TestLaneIsStable(t *testing.T) {
	for id, want := range map[string]int{"queue-1": 10, "queue-2": 7, "": 5} {
		if got := schema.Lane(id); got != want {
			t.Errorf("Lane(%q) = %d, want %d", id, got, want)
		}
	}
}
