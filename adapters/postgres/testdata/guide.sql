-- name: event processing lag
SELECT * FROM event_processing_lag
ORDER BY created_at DESC LIMIT 10;

-- name: outbox status
SELECT status, COUNT(*) as count, AVG(retry_count) as avg_retries
FROM waiting_room_outbox
GROUP BY status;

-- name: projection checkpoints
SELECT * FROM projection_checkpoints;

-- name: lag statistics
SELECT * FROM event_lag_metrics
ORDER BY metric_timestamp DESC LIMIT 10;

-- name: insert an event
INSERT INTO waiting_room_events
(aggregate_id, event_name, payload, metadata, created_at)
VALUES (@QueueId, 'PatientCheckedIn', @Json, @Metadata, now());

-- name: insert an outbox row
INSERT INTO waiting_room_outbox
(aggregate_id, event_name, payload, metadata, published)
VALUES (@QueueId, 'PatientCheckedIn', @Json, @Metadata, false);

-- name: insert a lag row
INSERT INTO event_processing_lag
(event_name, aggregate_id, event_created_at, status)
VALUES ('PatientCheckedIn', @QueueId, @OccurredAt, 'CREATED');

-- name: total lag
SELECT
    event_name,
    AVG(total_lag_ms) as avg_lag,
    PERCENTILE_CONT(0.95) WITHIN GROUP (ORDER BY total_lag_ms) as p95_lag,
    MAX(total_lag_ms) as max_lag
FROM event_processing_lag
WHERE status = 'PROCESSED'
  AND created_at > now() - interval '1 hour'
GROUP BY event_name;

-- name: projection bottleneck
SELECT event_name, AVG(projection_processing_duration_ms)
FROM event_processing_lag
WHERE status = 'PROCESSED'
GROUP BY event_name;

-- name: pending outbox
SELECT COUNT(*) FROM waiting_room_outbox WHERE published = false;

-- name: event table size
SELECT pg_size_pretty(pg_total_relation_size('waiting_room_events'));

-- name: lag table size
SELECT count(*) FROM event_processing_lag;

-- name: clean up lag
DELETE FROM event_processing_lag WHERE created_at < now() - interval '30 days'
