-- +goose Up

-- One row a queue for all projections: a batch locks and writes it once. As
-- JSONB one costs a third of four rows of their own, and names its projections.
ALTER TABLE projection_queue_versions RENAME TO projection_queue_versions_by_row;
ALTER INDEX projection_queue_versions_pkey RENAME TO projection_queue_versions_by_row_pkey;
CREATE TABLE projection_queue_versions (
    aggregate_id TEXT PRIMARY KEY,
    versions     JSONB NOT NULL
) WITH (fillfactor = 70);
COMMENT ON COLUMN projection_queue_versions.versions IS 'The last version of the queue that each projection applied, by projection id.';
INSERT INTO projection_queue_versions (aggregate_id, versions)
    SELECT aggregate_id, jsonb_object_agg(projection_id, version) FROM projection_queue_versions_by_row GROUP BY aggregate_id;
DROP TABLE projection_queue_versions_by_row;

-- +goose Down
ALTER TABLE projection_queue_versions RENAME TO projection_queue_versions_by_queue;
ALTER INDEX projection_queue_versions_pkey RENAME TO projection_queue_versions_by_queue_pkey;
CREATE TABLE projection_queue_versions (
    projection_id TEXT   NOT NULL,
    aggregate_id  TEXT   NOT NULL,
    version       BIGINT NOT NULL,
    PRIMARY KEY (projection_id, aggregate_id)
) WITH (fillfactor = 70);
INSERT INTO projection_queue_versions (projection_id, aggregate_id, version)
    SELECT v.key, q.aggregate_id, v.value::bigint
    FROM projection_queue_versions_by_queue q CROSS JOIN jsonb_each_text(q.versions) v;
DROP TABLE projection_queue_versions_by_queue;
