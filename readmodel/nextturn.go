package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// NextTurn keeps who has been called, and who comes next.
var NextTurn = Projection{
	ID:     "next-turn",
	tables: []string{"next_turn_view"},
	apply:  applyNextTurn,
}

// call is how far a patient has been called.
type call struct {
	status              string
	claimedAt, calledAt *time.Time
	stationID           *string
	// keepsClaim says that the row's claimed_at stays as it was before the batch.
	keepsClaim bool
}

func applyNextTurn(b *pgx.Batch, events []schema.Recorded) {
	turns := foldVisits(events, foldCall)
	gone := turns.deleted()
	gone.queueDelete(b, "next_turn_view")
	queueTurns(b, turns)
	queueCalls(b, turns)
}

// foldCall follows how far a patient has been called.
func foldCall(turns *visits[call], r schema.Recorded) {
	at := r.Metadata.OccurredAt
	switch e := r.Event.(type) {
	case schema.PatientCheckedIn:
		turns.begin(e, r.Metadata.Version, call{status: "waiting"})
	case schema.PatientCalledAtCashier:
		*turns.of(e.QueueID, e.PatientID) = call{status: "cashier-called"}
	case schema.PatientPaymentValidated:
		*turns.of(e.QueueID, e.PatientID) = call{status: "waiting"}
	case schema.PatientPaymentPending: // still at the desk
		*turns.of(e.QueueID, e.PatientID) = call{status: "cashier-called"}
	case schema.PatientAbsentAtCashier:
		*turns.of(e.QueueID, e.PatientID) = call{status: "waiting"}
	case schema.PatientClaimedForAttention:
		*turns.of(e.QueueID, e.PatientID) = call{status: "claimed", claimedAt: &at, stationID: &e.StationID}
	case schema.PatientCalled:
		c := turns.of(e.QueueID, e.PatientID)
		*c = call{
			status: "called", calledAt: &at, stationID: &e.StationID,
			claimedAt: c.claimedAt, keepsClaim: c.status == "" || c.keepsClaim,
		}
	case schema.PatientAbsentAtConsultation:
		*turns.of(e.QueueID, e.PatientID) = call{status: "waiting"}
	case schema.PatientAttentionCompleted:
		turns.end(e.QueueID, e.PatientID)
	case schema.PatientCancelledByPayment:
		turns.end(e.QueueID, e.PatientID)
	case schema.PatientCancelledByAbsence:
		turns.end(e.QueueID, e.PatientID)
	}
}

// calls are the columns of several calls.
type calls struct {
	status              []string
	claimedAt, calledAt []*time.Time
	stationIDs          []*string
	keepsClaim          []bool
}

func (c *calls) add(one call) {
	c.status = append(c.status, one.status)
	c.claimedAt, c.calledAt = append(c.claimedAt, one.claimedAt), append(c.calledAt, one.calledAt)
	c.stationIDs, c.keepsClaim = append(c.stationIDs, one.stationID), append(c.keepsClaim, one.keepsClaim)
}

func queueTurns(b *pgx.Batch, turns *visits[call]) {
	var (
		k                                 keys
		c                                 calls
		names, priorities, types, tickets []string
		arrivals                          []int64
		times                             []time.Time
	)
	for _, v := range turns.inOrder {
		if e := v.joined; e != nil {
			k.add(v.patient)
			c.add(v.state)
			names, priorities, types = append(names, e.PatientName), append(priorities, e.Priority), append(types, e.ConsultationType)
			times, arrivals, tickets = append(times, e.CheckInTime), append(arrivals, v.arrival), append(tickets, e.TicketNumber)
		}
	}
	if len(names) > 0 {
		b.Queue(`
			INSERT INTO next_turn_view (queue_id, patient_id, patient_name, priority, priority_rank, consultation_type,
				status, check_in_time, claimed_at, called_at, station_id, arrival, ticket_number, projected_at)
			SELECT queue_id, patient_id, patient_name, priority, array_position(ARRAY['Low', 'Medium', 'High', 'Urgent'], priority),
				consultation_type, status, check_in_time, claimed_at, called_at, station_id, arrival, ticket_number, now()
			FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
				$7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::text[], $11::bigint[], $12::text[])
				AS k (queue_id, patient_id, patient_name, priority, consultation_type, status,
				check_in_time, claimed_at, called_at, station_id, arrival, ticket_number)`,
			k.queueIDs, k.patientIDs, names, priorities, types, c.status, times, c.claimedAt, c.calledAt, c.stationIDs, arrivals, tickets)
	}
}

func queueCalls(b *pgx.Batch, turns *visits[call]) {
	var (
		k keys
		c calls
	)
	for _, v := range turns.inOrder {
		if v.changed {
			k.add(v.patient)
			c.add(v.state)
		}
	}
	if len(c.status) > 0 {
		b.Queue(`
			UPDATE next_turn_view v
			SET status = k.status, claimed_at = CASE WHEN k.keeps_claim THEN v.claimed_at ELSE k.claimed_at END,
			    called_at = k.called_at, station_id = k.station_id, projected_at = now()
			FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::boolean[])
				AS k (queue_id, patient_id, status, claimed_at, called_at, station_id, keeps_claim)
			WHERE v.queue_id = k.queue_id AND v.patient_id = k.patient_id`,
			k.queueIDs, k.patientIDs, c.status, c.claimedAt, c.calledAt, c.stationIDs, c.keepsClaim)
	}
}

// Turn is one patient's row of next_turn_view.
type Turn struct {
	PatientID        string
	PatientName      string
	Priority         string
	ConsultationType string
	Status           string
	CheckInTime      time.Time
	ClaimedAt        *time.Time
	CalledAt         *time.Time
	StationID        *string
	TicketNumber     string
	ProjectedAt      time.Time
}

// NextTurnOf returns whose turn it is in a queue: one who is called to a room ("claimed"),
// else to a desk ("cashier-called"), else one who waits ("waiting"), else one whose
// consultation has begun ("called"); among equals by priority, then arrival. It returns
// *NotFoundError for a queue in which nobody is present.
func (s *Store) NextTurnOf(ctx context.Context, queueID string) (Turn, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT patient_id, patient_name, priority, consultation_type, status, check_in_time, claimed_at, called_at, station_id, ticket_number, projected_at
		FROM next_turn_view WHERE queue_id = $1
		ORDER BY array_position(ARRAY['claimed', 'cashier-called', 'waiting', 'called'], status), priority_rank DESC, arrival
		LIMIT 1`, queueID)
	if err != nil {
		return Turn{}, fmt.Errorf("read the next turn of queue %q: %w", queueID, err)
	}
	return one(rows, pgx.RowToStructByPos[Turn], KindTurn, queueID)
}
