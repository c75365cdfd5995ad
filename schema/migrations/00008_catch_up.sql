-- +goose Up

-- Up to where the event store has been checked for events that a projection lacks.
ALTER TABLE projection_checkpoints ADD COLUMN checked_position BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE projection_checkpoints DROP COLUMN checked_position;
