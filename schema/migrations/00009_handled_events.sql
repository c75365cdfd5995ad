-- +goose Up

-- The events that handlers have handled, written in the transactions in which they did.
CREATE TABLE handled_events (
    handler    TEXT NOT NULL,
    event_id   UUID NOT NULL,
    handled_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (handler, event_id)
);
CREATE INDEX handled_events_handled_at ON handled_events (handled_at);

-- +goose Down
DROP TABLE handled_events;
