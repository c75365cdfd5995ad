package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// Pruner deletes rows that were published long ago. The events stay in the store.
type Pruner struct {
	pool      *pgxpool.Pool
	logger    *slog.Logger
	retention time.Duration
	pruned    prometheus.Counter
}

// NewPruner returns a pruner of the rows that were published longer ago than the
// retention. Its counter outbox_pruned_total is registered unless registerer is nil.
func NewPruner(pool *pgxpool.Pool, logger *slog.Logger, retention time.Duration, registerer prometheus.Registerer) (*Pruner, error) {
	if retention <= 0 {
		return nil, fmt.Errorf("prune the outbox: the retention %v is not positive", retention)
	}
	p := &Pruner{pool: pool, logger: logger, retention: retention, pruned: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "outbox_pruned_total", Help: "Published rows that were deleted from the outbox after their retention.",
	})}
	if registerer != nil {
		if err := registerer.Register(p.pruned); err != nil {
			return nil, fmt.Errorf("register the pruner's metrics: %w", err)
		}
	}
	return p, nil
}

const (
	// pruneEvery is how often Run looks for old rows.
	pruneEvery = time.Minute
	// pruneBatch bounds the rows of one transaction, and with it what it locks.
	pruneBatch = 5000
)

// Run prunes until ctx ends. A failure is logged and tried again.
func (p *Pruner) Run(ctx context.Context) error {
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		if _, err := p.Prune(ctx); err != nil && ctx.Err() == nil {
			p.logger.WarnContext(ctx, "pruning the outbox failed; it is tried again", "Component", "OutboxWorker", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// pruneRows looks at the next published rows from an id on, and deletes those of
// them that are due.
const pruneRows = `
	WITH next AS (
		SELECT id, published_at FROM waiting_room_outbox WHERE published AND id > $1 ORDER BY id LIMIT $2
	), gone AS (
		DELETE FROM waiting_room_outbox o USING next
		WHERE o.id = next.id AND o.published AND next.published_at < now() - make_interval(secs => $3) RETURNING o.id
	)
	SELECT (SELECT coalesce(max(id), 0) FROM next), (SELECT count(*) FROM gone)`

// Prune deletes what is due, in transactions of some thousand rows, and returns
// how many rows those were. It goes up from the lowest id and ends at the first
// batch in which nothing is due, so it costs little when nothing is, and young rows
// among old ones, of events that waited for a person, do not end it.
func (p *Pruner) Prune(ctx context.Context) (rows int64, err error) {
	for last := int64(math.MinInt64); ; {
		var deleted int64
		if err := p.pool.QueryRow(ctx, pruneRows, last, pruneBatch, p.retention.Seconds()).Scan(&last, &deleted); err != nil {
			return rows, fmt.Errorf("prune the outbox: %w", err)
		}
		rows += deleted
		p.pruned.Add(float64(deleted))
		if deleted == 0 {
			return rows, nil
		}
	}
}
