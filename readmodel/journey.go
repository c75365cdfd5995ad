package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// Journey keeps every step of every patient.
var Journey = Projection{
	ID:     "journey",
	tables: []string{"patient_journey_view"},
	apply:  applyJourney,
}

func applyJourney(b *pgx.Batch, events []schema.Recorded) {
	var (
		k                                keys
		versions                         []int64
		names, statuses, places, details []string
		times                            []time.Time
	)
	for _, r := range events {
		if s, ok := stepOf(r.Event); ok {
			k.add(s.patient)
			versions, times = append(versions, r.Metadata.Version), append(times, r.Metadata.OccurredAt)
			names, statuses = append(names, r.Event.EventName()), append(statuses, s.status)
			places, details = append(places, s.place), append(details, s.detail)
		}
	}
	if len(versions) > 0 {
		b.Queue(`
			INSERT INTO patient_journey_view (queue_id, patient_id, version, event_name, status, place, detail, occurred_at)
			SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])`,
			k.queueIDs, k.patientIDs, versions, names, statuses, places, details, times)
	}
}

// JourneyStep is one row of patient_journey_view.
type JourneyStep struct {
	Version    int64
	EventName  string
	Status     string
	Place      string
	Detail     string
	OccurredAt time.Time
}

// Visit is one visit of a patient, from its check-in on.
type Visit struct {
	// Steps are in order; the first is the check-in.
	Steps []JourneyStep
	// Previous is what to give as before for the visit before this one; 0 where there is
	// none.
	Previous int64
}

// Over reports whether the visit has ended.
func (v Visit) Over() bool { return step{status: v.Steps[len(v.Steps)-1].Status}.over() }

// VisitOf returns the last visit of a patient that began before a version, the last of
// all for 0. It returns *NotFoundError where there is none.
func (s *Store) VisitOf(ctx context.Context, queueID, patientID string, before int64) (Visit, error) {
	rows, err := s.pool.Query(ctx, `
		WITH began AS (
			SELECT version FROM patient_journey_view
			WHERE queue_id = $1 AND patient_id = $2 AND event_name = 'PatientCheckedIn' AND ($3::bigint = 0 OR version < $3)
			ORDER BY version DESC LIMIT 2
		)
		SELECT version, event_name, status, place, detail, occurred_at FROM patient_journey_view
		WHERE queue_id = $1 AND patient_id = $2 AND version >= (SELECT min(version) FROM began) AND ($3::bigint = 0 OR version < $3)
		ORDER BY version`, queueID, patientID, before)
	if err != nil {
		return Visit{}, fmt.Errorf("read the journey of a patient of queue %q: %w", queueID, err)
	}
	steps, err := pgx.CollectRows(rows, pgx.RowToStructByPos[JourneyStep])
	if err != nil {
		return Visit{}, fmt.Errorf("read the journey of a patient of queue %q: %w", queueID, err)
	}
	if len(steps) == 0 {
		return Visit{}, &NotFoundError{Kind: KindPatient, ID: patientID}
	}
	return lastVisit(steps), nil
}

// lastVisit cuts the steps of one or two visits.
func lastVisit(steps []JourneyStep) Visit {
	for i := len(steps) - 1; i > 0; i-- {
		if steps[i].EventName == "PatientCheckedIn" {
			return Visit{Steps: steps[i:], Previous: steps[i].Version}
		}
	}
	return Visit{Steps: steps}
}
