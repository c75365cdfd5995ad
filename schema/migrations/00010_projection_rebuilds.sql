-- +goose Up

-- The last rebuild of each projection. Its tables are made in the schema
-- rebuild_<projection>, and the ones it replaced stay in previous_<projection>.
CREATE TABLE projection_rebuilds (
    projection_id    TEXT PRIMARY KEY,
    status           TEXT        NOT NULL CHECK (status IN ('REPLAYING', 'CATCHING_UP', 'DONE', 'FAILED')),
    rollback         BOOLEAN     NOT NULL DEFAULT false,
    build            TEXT        NOT NULL,
    total_position   BIGINT      NOT NULL,
    applied_position BIGINT      NOT NULL DEFAULT 0,
    events           BIGINT      NOT NULL DEFAULT 0,
    differences      JSONB,
    error            TEXT,
    started_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    ended_at         TIMESTAMPTZ
);
COMMENT ON COLUMN projection_rebuilds.rollback IS 'It puts the replaced tables back, after bringing them up to date.';
COMMENT ON COLUMN projection_rebuilds.build IS 'Which build began it: only the same one goes on with it.';
COMMENT ON COLUMN projection_rebuilds.total_position IS 'The last position when it began.';
COMMENT ON COLUMN projection_rebuilds.applied_position IS 'Where a rebuild that was killed goes on.';
COMMENT ON COLUMN projection_rebuilds.differences IS 'How the rebuilt rows differ from the live ones at one position, by table.';

-- A sum of exact numbers, so that the order of the additions does not matter and a
-- rebuilt row equals the live one.
ALTER TABLE waiting_queue_view ALTER COLUMN check_in_epoch_sum TYPE NUMERIC(30, 6);
UPDATE waiting_queue_view v SET check_in_epoch_sum = (
    SELECT coalesce(sum(extract(epoch FROM check_in_time)), 0) FROM waiting_queue_members m WHERE m.queue_id = v.queue_id);

-- +goose Down
ALTER TABLE waiting_queue_view ALTER COLUMN check_in_epoch_sum TYPE DOUBLE PRECISION;
DROP TABLE projection_rebuilds;
