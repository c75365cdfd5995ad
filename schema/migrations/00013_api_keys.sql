-- +goose Up

-- The keys of kiosks and displays. The key itself is shown once, when it is made.
CREATE TABLE api_keys (
    name       TEXT PRIMARY KEY,
    hash       BYTEA       NOT NULL UNIQUE,
    roles      TEXT[]      NOT NULL,
    queues     TEXT[]      NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    revoked_at TIMESTAMPTZ
);
COMMENT ON COLUMN api_keys.hash IS 'SHA-256 of the key, which has 256 random bits: a slow hash would protect it no better.';
COMMENT ON COLUMN api_keys.queues IS 'The queues that it reaches; all where it is empty.';

-- +goose Down
DROP TABLE api_keys;
