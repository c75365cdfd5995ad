-- +goose Up

-- Relays share the outbox by lanes; the header says the lane of an event's queue.
-- A row that was written by hand may have none.
ALTER TABLE waiting_room_outbox
    ADD COLUMN lane SMALLINT GENERATED ALWAYS AS (coalesce((metadata->>'lane')::smallint, 0)) STORED,
    -- Nothing looks rows up by it, and every event paid for it twice: at its insert
    -- and, since "published" is part of an index, at its update.
    DROP CONSTRAINT waiting_room_outbox_event_id_key;

-- Every row is updated once, soon after its insert. What that leaves behind is
-- cleared away before it gets much, however large the table is.
ALTER TABLE waiting_room_outbox SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 1);
ALTER TABLE event_processing_lag SET (
    -- Every row is updated once, too: on half-empty pages no index has to follow.
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 1);

-- +goose Down
ALTER TABLE event_processing_lag SET (fillfactor = 70);
ALTER TABLE event_processing_lag RESET (
    autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay);
ALTER TABLE waiting_room_outbox RESET (
    autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_vacuum_insert_scale_factor,
    autovacuum_vacuum_cost_delay);
ALTER TABLE waiting_room_outbox ADD UNIQUE (event_id), DROP COLUMN lane;
