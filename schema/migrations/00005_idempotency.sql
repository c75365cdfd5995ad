-- +goose Up

-- The answers to requests that carried an Idempotency-Key, written with their events.
CREATE TABLE idempotency_keys (
    key            TEXT PRIMARY KEY,
    fingerprint    BYTEA       NOT NULL,
    correlation_id TEXT        NOT NULL,
    event_count    INTEGER     NOT NULL,
    queue_version  BIGINT      NOT NULL,
    last_event_id  UUID,
    refusal        JSONB,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of the request; the same key with another request is refused.';
COMMENT ON COLUMN idempotency_keys.refusal IS 'Why the request was refused; NULL where it was not.';

-- +goose Down
DROP TABLE idempotency_keys;
