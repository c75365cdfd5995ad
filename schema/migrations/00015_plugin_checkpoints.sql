-- +goose Up

-- Up to where a plugin's handler is done with all events of its kind, or they are left to
-- the outbox.
CREATE TABLE plugin_checkpoints (
    handler          TEXT PRIMARY KEY,
    checked_position BIGINT NOT NULL
) WITH (fillfactor = 50);

-- The events behind that which a handler is done with, some to a row: one row for each
-- event would cost ten times as much.
CREATE TABLE plugin_marks (
    handler        TEXT     NOT NULL,
    first_position BIGINT   NOT NULL,
    last_position  BIGINT   NOT NULL,
    positions      BIGINT[] NOT NULL
);
CREATE INDEX plugin_marks_last_position ON plugin_marks (handler, last_position);

-- +goose Down
DROP TABLE plugin_marks, plugin_checkpoints;
