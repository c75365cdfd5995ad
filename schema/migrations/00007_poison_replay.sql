-- +goose Up

-- What is known of a poisoned message, and what has become of it.
ALTER TABLE poison_messages
    ADD COLUMN attempts      INTEGER NOT NULL DEFAULT 1,
    ADD COLUMN stack         TEXT    NOT NULL DEFAULT '',
    ADD COLUMN failure_group TEXT    NOT NULL DEFAULT '',
    ADD COLUMN status        TEXT    NOT NULL DEFAULT 'WAITING'
        CHECK (status IN ('WAITING', 'REPLAYING', 'REPLAYED', 'DISCARDED')),
    ADD COLUMN settled_at    TIMESTAMPTZ;
COMMENT ON COLUMN poison_messages.failure_group IS 'The same for failures of one handler on one kind of event for the same reason, but for ids and numbers.';
COMMENT ON COLUMN poison_messages.status IS 'WAITING for a person; REPLAYING: ordered to be replayed; REPLAYED: handed to its handler again.';
CREATE INDEX poison_messages_status ON poison_messages (status, id);
CREATE INDEX poison_messages_group ON poison_messages (failure_group, id);

-- +goose Down
ALTER TABLE poison_messages
    DROP COLUMN attempts, DROP COLUMN stack, DROP COLUMN failure_group, DROP COLUMN status, DROP COLUMN settled_at;
