-- +goose Up

-- The newest snapshot of each queue: where a replay begins. Rows may be deleted
-- at any time; the next load then replays all events.
CREATE TABLE waiting_room_snapshots (
    aggregate_id   TEXT PRIMARY KEY,
    version        BIGINT      NOT NULL,
    schema_version INTEGER     NOT NULL,
    state          JSON        NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE waiting_room_snapshots;
