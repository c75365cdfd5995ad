-- +goose Up

-- A row grows by a third until it is processed. On pages that were filled to a half one in
-- six moved to another page, and all three indexes had to follow.
ALTER TABLE event_processing_lag SET (fillfactor = 40);

-- +goose Down
ALTER TABLE event_processing_lag SET (fillfactor = 50);
