package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// LagStatistics summarises event_processing_lag for one event name. Durations
// are in milliseconds; they are nil where no event has been processed.
type LagStatistics struct {
	EventName          string
	EventCount         int64
	ProcessedCount     int64
	FailedCount        int64
	AverageLagMs       *float64
	P50LagMs           *float64
	P95LagMs           *float64
	P99LagMs           *float64
	MaxLagMs           *float64
	AverageOutboxMs    *float64
	AverageProjectedMs *float64
}

// lagAggregates are the figures over a group of lag rows.
const lagAggregates = `
	count(*), count(*) FILTER (WHERE status = 'PROCESSED'), count(*) FILTER (WHERE status = 'FAILED'),
	avg(total_lag_ms), percentile_cont(0.5) WITHIN GROUP (ORDER BY total_lag_ms),
	percentile_cont(0.95) WITHIN GROUP (ORDER BY total_lag_ms),
	percentile_cont(0.99) WITHIN GROUP (ORDER BY total_lag_ms), max(total_lag_ms)`

// Lag returns the statistics of the events created from one moment up to, not
// including, another, by event name; eventName "" stands for all.
func (s *Store) Lag(ctx context.Context, eventName string, from, to time.Time) ([]LagStatistics, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT event_name,`+lagAggregates+`, avg(outbox_dispatch_duration_ms), avg(projection_processing_duration_ms)
		FROM event_processing_lag
		WHERE created_at >= $1 AND created_at < $2 AND ($3 = '' OR event_name = $3)
		GROUP BY event_name ORDER BY event_name`, from, to, eventName)
	if err != nil {
		return nil, fmt.Errorf("read the lag: %w", err)
	}
	statistics, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LagStatistics])
	if err != nil {
		return nil, fmt.Errorf("read the lag: %w", err)
	}
	return statistics, nil
}

// RollUpLag brings event_lag_metrics up to date: one row a minute and event name.
// It looks at the minutes since the newest row, that row's own, and those within
// again before it, since the lag of an event may be known only some time after its
// creation. It reads every lag row of those minutes, 60,000 of them in some
// 50 ms (BenchmarkRollUpLag).
func (s *Store) RollUpLag(ctx context.Context, again time.Duration) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO event_lag_metrics (metric_timestamp, event_name, event_count, failed_count,
			avg_lag_ms, p50_lag_ms, p95_lag_ms, p99_lag_ms, max_lag_ms)
		SELECT minute, event_name, count, failed, avg, p50, p95, p99, max
		FROM (
			SELECT date_trunc('minute', created_at), event_name,`+lagAggregates+`
			FROM event_processing_lag
			WHERE created_at >= coalesce((SELECT date_trunc('minute', max(metric_timestamp) - $1::interval) FROM event_lag_metrics), '-infinity')
			GROUP BY 1, 2
		) AS lag (minute, event_name, count, processed, failed, avg, p50, p95, p99, max)
		ON CONFLICT (metric_timestamp, event_name) DO UPDATE
		SET event_count = EXCLUDED.event_count, failed_count = EXCLUDED.failed_count, avg_lag_ms = EXCLUDED.avg_lag_ms,
		    p50_lag_ms = EXCLUDED.p50_lag_ms, p95_lag_ms = EXCLUDED.p95_lag_ms, p99_lag_ms = EXCLUDED.p99_lag_ms,
		    max_lag_ms = EXCLUDED.max_lag_ms`, again)
	if err != nil {
		return fmt.Errorf("roll up the lag: %w", err)
	}
	return nil
}
