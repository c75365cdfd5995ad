package outbox_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rlapp/rlapp/adapters/outbox"
)

func TestOldPublishedRowsArePruned(t *testing.T) {
	pool := newPool(t)
	// Parked and pending rows are kept however old they are, also among the first, and
	// one that was published late stays its time.
	_, err := pool.Exec(t.Context(), `
		INSERT INTO waiting_room_outbox (aggregate_id, event_name, payload, published, published_at, parked_at)
		SELECT 'queue', 'E', '{}', i % 100 <> 0 AND i % 100 <> 1,
		       CASE WHEN i % 100 > 1 THEN now() - CASE WHEN i <= 12000 THEN interval '2 hours' ELSE interval '10 minutes' END END,
		       CASE WHEN i % 100 = 0 THEN now() - interval '1 year' END
		FROM generate_series(1, 14000) i;
		UPDATE waiting_room_outbox SET published_at = now() WHERE id = 7`)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	pruner, err := outbox.NewPruner(pool, logger, time.Hour, registry)
	if err != nil {
		t.Fatal(err)
	}
	pruned, err := pruner.Prune(t.Context())
	if err != nil || pruned != 12000*98/100-1 {
		t.Errorf("%d rows were pruned, error %v", pruned, err)
	}
	if kept, young := count(t, pool, "NOT published"), count(t, pool, "published"); kept != 280 || young != 2000*98/100+1 {
		t.Errorf("%d unpublished and %d young rows were kept", kept, young)
	}
	if pruned, err = pruner.Prune(t.Context()); err != nil || pruned != 0 {
		t.Errorf("%d rows were pruned again, error %v", pruned, err)
	}
	if n, err := testutil.GatherAndCount(registry, "outbox_pruned_total"); err != nil || n != 1 {
		t.Errorf("%d metrics, error %v", n, err)
	}
	if _, err := outbox.NewPruner(pool, logger, 0, nil); err == nil {
		t.Error("a retention of nothing was accepted")
	}
}
