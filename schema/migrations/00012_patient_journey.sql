-- +goose Up

-- The order of arrival is that of the check-ins, whatever the clocks said.
ALTER TABLE waiting_patients_view
    ADD COLUMN arrival       BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN ticket_number TEXT   NOT NULL DEFAULT '',
    ADD COLUMN place         TEXT   NOT NULL DEFAULT '';
COMMENT ON COLUMN waiting_patients_view.arrival IS 'Version of the check-in: the order of arrival.';
COMMENT ON COLUMN waiting_patients_view.place IS 'The desk or consulting room that the patient takes up.';
ALTER TABLE next_turn_view
    ADD COLUMN arrival       BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN ticket_number TEXT   NOT NULL DEFAULT '';
DROP INDEX next_turn_view_order;
CREATE INDEX next_turn_view_order ON next_turn_view (queue_id, priority_rank DESC, arrival);

-- Patients who are here came before there were tickets.
CREATE TEMPORARY TABLE arrivals ON COMMIT DROP AS
    SELECT aggregate_id AS queue_id, payload->>'patientId' AS patient_id, max(version) AS arrival
    FROM waiting_room_events WHERE event_name = 'PatientCheckedIn' GROUP BY 1, 2;
UPDATE waiting_patients_view v SET arrival = a.arrival FROM arrivals a WHERE v.queue_id = a.queue_id AND v.patient_id = a.patient_id;
UPDATE next_turn_view v SET arrival = a.arrival FROM arrivals a WHERE v.queue_id = a.queue_id AND v.patient_id = a.patient_id;

-- Read model of the projection "queue-state": the consulting rooms.
CREATE TABLE consulting_rooms_view (
    queue_id   TEXT        NOT NULL,
    room_id    TEXT        NOT NULL,
    is_active  BOOLEAN     NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (queue_id, room_id)
);

-- Read model of the projection "monitor": the waits that ended in the hour before the
-- queue's last one.
CREATE TABLE waiting_queue_waits (
    queue_id      TEXT        NOT NULL,
    version       BIGINT      NOT NULL,
    check_in_time TIMESTAMPTZ NOT NULL,
    started_at    TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (queue_id, version)
);
COMMENT ON COLUMN waiting_queue_waits.started_at IS 'When the consultation began.';

-- Read model of the projection "journey": every step of every patient.
CREATE TABLE patient_journey_view (
    queue_id    TEXT        NOT NULL,
    patient_id  TEXT        NOT NULL,
    version     BIGINT      NOT NULL,
    event_name  TEXT        NOT NULL,
    status      TEXT        NOT NULL,
    place       TEXT        NOT NULL,
    detail      TEXT        NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (queue_id, patient_id, version)
);
COMMENT ON COLUMN patient_journey_view.detail IS 'What else the event says: the ticket, the reason, the outcome.';

-- +goose Down
DROP TABLE patient_journey_view, waiting_queue_waits, consulting_rooms_view;
DROP INDEX next_turn_view_order;
CREATE INDEX next_turn_view_order ON next_turn_view (queue_id, priority_rank DESC, check_in_time);
ALTER TABLE next_turn_view DROP COLUMN ticket_number, DROP COLUMN arrival;
ALTER TABLE waiting_patients_view DROP COLUMN place, DROP COLUMN ticket_number, DROP COLUMN arrival;
UPDATE projection_queue_versions SET versions = versions - 'journey';
DELETE FROM projection_checkpoints WHERE projection_id = 'journey';
