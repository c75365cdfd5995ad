package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// QueueState lists the patients who are present, with where each one stands, and the
// consulting rooms.
var QueueState = Projection{
	ID:     "queue-state",
	tables: []string{"waiting_patients_view", "consulting_rooms_view"},
	apply:  applyQueueState,
}

func applyQueueState(b *pgx.Batch, events []schema.Recorded) {
	present := foldVisits(events, foldStanding)
	gone := present.deleted()
	gone.queueDelete(b, "waiting_patients_view")
	queueArrivals(b, present)
	queueStandings(b, present)
	queueRooms(b, events)
}

// standing is where a patient stands.
type standing struct {
	status, place string
	// keepsPlace says that the row's place stays as it was before the batch.
	keepsPlace bool
}

// foldStanding follows where a patient stands.
func foldStanding(present *visits[standing], r schema.Recorded) {
	s, ok := stepOf(r.Event)
	if !ok {
		return
	}
	arrived, arrives := r.Event.(schema.PatientCheckedIn)
	switch {
	case arrives:
		present.begin(arrived, r.Metadata.Version, standing{status: s.status})
	case s.over():
		present.end(s.queueID, s.patientID)
	default:
		now := present.of(s.queueID, s.patientID)
		after := standing{status: s.status, place: s.place}
		if s.keepsPlace {
			after.place, after.keepsPlace = now.place, now.status == "" || now.keepsPlace
		}
		*now = after
	}
}

func queueArrivals(b *pgx.Batch, present *visits[standing]) {
	var (
		k                                                        keys
		names, priorities, types, notes, status, places, tickets []string
		positions                                                []int
		arrivals                                                 []int64
		times                                                    []time.Time
	)
	for _, v := range present.inOrder {
		if e := v.joined; e != nil {
			k.add(v.patient)
			names, priorities, types = append(names, e.PatientName), append(priorities, e.Priority), append(types, e.ConsultationType)
			notes, status, places = append(notes, e.Notes), append(status, v.state.status), append(places, v.state.place)
			positions, times = append(positions, e.QueuePosition), append(times, e.CheckInTime)
			arrivals, tickets = append(arrivals, v.arrival), append(tickets, e.TicketNumber)
		}
	}
	if len(names) > 0 {
		b.Queue(`
			INSERT INTO waiting_patients_view (queue_id, patient_id, patient_name, priority, consultation_type, notes,
				status, place, queue_position, check_in_time, arrival, ticket_number, projected_at)
			SELECT *, now() FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
				$8::text[], $9::integer[], $10::timestamptz[], $11::bigint[], $12::text[])`,
			k.queueIDs, k.patientIDs, names, priorities, types, notes, status, places, positions, times, arrivals, tickets)
	}
}

func queueStandings(b *pgx.Batch, present *visits[standing]) {
	var (
		k              keys
		status, places []string
		keeps          []bool
	)
	for _, v := range present.inOrder {
		if v.changed {
			k.add(v.patient)
			status, places, keeps = append(status, v.state.status), append(places, v.state.place), append(keeps, v.state.keepsPlace)
		}
	}
	if len(status) > 0 {
		b.Queue(`
			UPDATE waiting_patients_view v
			SET status = k.status, place = CASE WHEN k.keeps_place THEN v.place ELSE k.place END, projected_at = now()
			FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[]) AS k (queue_id, patient_id, status, place, keeps_place)
			WHERE v.queue_id = k.queue_id AND v.patient_id = k.patient_id`, k.queueIDs, k.patientIDs, status, places, keeps)
	}
}

// room is the key of a consulting room.
type room struct{ queueID, roomID string }

// queueRooms writes the last that happened to each room.
func queueRooms(b *pgx.Batch, events []schema.Recorded) {
	type change struct {
		active bool
		at     time.Time
	}
	last := map[room]change{}
	for _, r := range events {
		switch e := r.Event.(type) {
		case schema.ConsultingRoomActivated:
			last[room{e.QueueID, e.ConsultingRoomID}] = change{true, r.Metadata.OccurredAt}
		case schema.ConsultingRoomDeactivated:
			last[room{e.QueueID, e.ConsultingRoomID}] = change{false, r.Metadata.OccurredAt}
		}
	}
	if len(last) == 0 {
		return
	}
	var (
		queueIDs, roomIDs []string
		active            []bool
		times             []time.Time
	)
	for key, c := range last {
		queueIDs, roomIDs = append(queueIDs, key.queueID), append(roomIDs, key.roomID)
		active, times = append(active, c.active), append(times, c.at)
	}
	b.Queue(`
		INSERT INTO consulting_rooms_view (queue_id, room_id, is_active, changed_at)
		SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[], $4::timestamptz[])
		ON CONFLICT (queue_id, room_id) DO UPDATE SET is_active = EXCLUDED.is_active, changed_at = EXCLUDED.changed_at`,
		queueIDs, roomIDs, active, times)
}

// PresentPatient is one row of waiting_patients_view.
type PresentPatient struct {
	PatientID        string
	PatientName      string
	Priority         string
	ConsultationType string
	Notes            string
	Status           string
	Place            string
	TicketNumber     string
	Arrival          int64
	CheckInTime      time.Time
}

// Room is one row of consulting_rooms_view.
type Room struct {
	RoomID    string
	IsActive  bool
	ChangedAt time.Time
}

// QueueStateView is a queue with the patients who are present.
type QueueStateView struct {
	QueueID     string
	MaxCapacity int
	// Patients are in the order of their turn: by priority, then arrival.
	Patients []PresentPatient
	// Rooms are in the order of their ids.
	Rooms []Room
	// Pace is that of the last hour's consultations.
	Pace        Pace
	ProjectedAt time.Time
}

// QueueStateOf returns the state of a queue, or *NotFoundError. The capacity
// comes from the monitor's view, which knows every queue.
func (s *Store) QueueStateOf(ctx context.Context, queueID string) (QueueStateView, error) {
	queue, err := s.QueueMonitor(ctx, queueID)
	if err != nil {
		return QueueStateView{}, err
	}
	view := QueueStateView{QueueID: queueID, MaxCapacity: queue.MaxCapacity, Pace: queue.Pace, ProjectedAt: queue.ProjectedAt}
	batch := &pgx.Batch{}
	batch.Queue(`
		SELECT patient_id, patient_name, priority, consultation_type, notes, status, place, ticket_number, arrival, check_in_time
		FROM waiting_patients_view WHERE queue_id = $1
		ORDER BY array_position(ARRAY['Urgent', 'High', 'Medium', 'Low'], priority), arrival`, queueID).Query(func(rows pgx.Rows) (err error) {
		view.Patients, err = pgx.CollectRows(rows, pgx.RowToStructByPos[PresentPatient])
		return err
	})
	batch.Queue(`SELECT room_id, is_active, changed_at FROM consulting_rooms_view WHERE queue_id = $1 ORDER BY room_id`,
		queueID).Query(func(rows pgx.Rows) (err error) {
		view.Rooms, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Room])
		return err
	})
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return QueueStateView{}, fmt.Errorf("read the state of queue %q: %w", queueID, err)
	}
	return view, nil
}
