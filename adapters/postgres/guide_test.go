package postgres_test

import (
	_ "embed"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// guideSQL holds the statements of the operators' guide, word for word.
//
//go:embed testdata/guide.sql
var guideSQL string

func guideStatements(t *testing.T) map[string]string {
	t.Helper()
	statements := map[string]string{}
	for _, part := range strings.Split(guideSQL, "-- name: ")[1:] {
		name, statement, ok := strings.Cut(part, "\n")
		if !ok {
			t.Fatalf("testdata/guide.sql: no statement in %q", part)
		}
		statements[name] = statement
	}
	return statements
}

// processedEvents stores a visit and lets a projection process it.
func processedEvents(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	now := cause
	now.OccurredAt = time.Now().Add(-time.Second)
	if _, err := postgres.NewEventStore(pool, postgres.EventStoreConfig{}).Append(t.Context(), change(0, visit("queue-1"), now)); err != nil {
		t.Fatal(err)
	}
	views := readmodel.NewStore(pool)
	events, err := views.EventsAfter(t.Context(), "queue-1", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		e.PublishedAt = time.Now().Add(-100 * time.Millisecond)
		if _, err := views.Apply(t.Context(), []schema.Recorded{e}, readmodel.QueueState); err != nil {
			t.Fatal(err)
		}
	}
	if err := views.RollUpLag(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
}

func TestGuideStatementsRunUnchanged(t *testing.T) {
	pool := newPool(t)
	processedEvents(t, pool)
	statements := guideStatements(t)
	arguments := pgx.NamedArgs{
		"QueueId": "queue-9", "OccurredAt": time.Now(),
		"Json":     `{"queueId":"queue-9","patientId":"p","checkInTime":"2026-02-19T10:00:00Z"}`,
		"Metadata": `{}`,
	}
	// The answer that a person reading the guide would expect: the rows, or for a
	// write the rows written.
	for _, want := range []struct {
		name  string
		rows  int
		check func(t *testing.T, row map[string]any)
	}{
		{"event processing lag", 10, func(t *testing.T, row map[string]any) {
			wantBetween(t, row, "total_lag_ms", 1000, 60_000)
			wantBetween(t, row, "outbox_dispatch_duration_ms", 800, 60_000)
			wantBetween(t, row, "projection_processing_duration_ms", 100, 60_000)
		}},
		{"outbox status", 1, func(t *testing.T, row map[string]any) {
			if row["status"] != "PENDING" || row["count"] != int64(14) {
				t.Errorf("got %v", row)
			}
		}},
		{"projection checkpoints", 1, func(t *testing.T, row map[string]any) {
			if row["projection_id"] != "queue-state" || row["events_processed"] != int64(14) {
				t.Errorf("got %v", row)
			}
		}},
		{"lag statistics", 10, func(t *testing.T, row map[string]any) { wantBetween(t, row, "max_lag_ms", 1000, 60_000) }},
		{"insert an event", 1, nil},
		{"insert an outbox row", 1, nil},
		{"insert a lag row", 1, nil},
		{"total lag", 14, func(t *testing.T, row map[string]any) { wantBetween(t, row, "p95_lag", 1000, 60_000) }},
		{"projection bottleneck", 14, func(t *testing.T, row map[string]any) { wantBetween(t, row, "avg", 100, 60_000) }},
		{"pending outbox", 1, func(t *testing.T, row map[string]any) {
			if row["count"] != int64(15) {
				t.Errorf("got %v", row)
			}
		}},
		{"event table size", 1, func(t *testing.T, row map[string]any) {
			if size, _ := row["pg_size_pretty"].(string); !strings.HasSuffix(size, "kB") {
				t.Errorf("got %v", row)
			}
		}},
		{"lag table size", 1, func(t *testing.T, row map[string]any) {
			if row["count"] != int64(15) {
				t.Errorf("got %v", row)
			}
		}},
		{"clean up lag", 0, nil},
	} {
		t.Run(want.name, func(t *testing.T) {
			rows, err := pool.Query(t.Context(), statements[want.name], arguments)
			if err != nil {
				t.Fatal(err)
			}
			got, err := pgx.CollectRows(rows, pgx.RowToMap)
			if err != nil {
				t.Fatal(err)
			}
			if want.check == nil {
				if affected := rows.CommandTag().RowsAffected(); affected != int64(want.rows) {
					t.Errorf("%d rows written, want %d", affected, want.rows)
				}
				return
			}
			if len(got) != want.rows {
				t.Fatalf("%d rows, want %d", len(got), want.rows)
			}
			want.check(t, got[0])
		})
		delete(statements, want.name)
	}
	if len(statements) > 0 {
		t.Errorf("statements without a test: %v", statements)
	}
}

func wantBetween(t *testing.T, row map[string]any, column string, low, high float64) {
	t.Helper()
	if got, ok := row[column].(float64); !ok || got < low || got > high {
		t.Errorf("%s is %v, want %v to %v ms", column, row[column], low, high)
	}
}

// An event written by hand, as the guide shows it, is numbered, and can be read.
func TestAHandWrittenEventIsNumbered(t *testing.T) {
	pool := newPool(t)
	statement := guideStatements(t)["insert an event"]
	for range 2 {
		_, err := pool.Exec(t.Context(), statement, pgx.NamedArgs{
			"QueueId": "queue-9", "Metadata": `{}`,
			"Json": `{"queueId":"queue-9","patientId":"p","checkInTime":"2026-02-19T10:00:00Z"}`,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	events, err := readmodel.NewStore(pool).EventsAfter(t.Context(), "queue-9", 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 || events[1].Metadata.Version != 2 || events[0].Event.(schema.PatientCheckedIn).PatientID != "p" {
		t.Errorf("got %+v", events)
	}
}
