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
    handler        TEXT     NOT NULL REFERENCES plugin_checkpoints ON DELETE CASCADE,
    first_position BIGINT   NOT NULL,
    last_position  BIGINT   NOT NULL,
    positions      BIGINT[] NOT NULL
);
CREATE INDEX plugin_marks_last_position ON plugin_marks (handler, last_position);

-- How many processes have begun to handle a missed event and were not done with it.
CREATE TABLE plugin_tries (
    handler  TEXT    NOT NULL REFERENCES plugin_checkpoints ON DELETE CASCADE,
    position BIGINT  NOT NULL,
    tries    INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (handler, position)
);

-- +goose Down
DROP TABLE plugin_tries, plugin_marks, plugin_checkpoints;
