package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the relay's numbers; a nil registerer collects none.
type metrics struct {
	dispatchedTotal *prometheus.CounterVec
	dispatchSeconds *prometheus.HistogramVec
	failuresTotal   *prometheus.CounterVec
}

func newMetrics(pool *pgxpool.Pool, registerer prometheus.Registerer, failures *prometheus.CounterVec) (*metrics, error) {
	m := &metrics{
		dispatchedTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "events_dispatched_total",
			Help: "Events that the transport confirmed.",
		}, []string{"event_name"}),
		dispatchSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "outbox_dispatch_duration_seconds",
			Help:    "Time from an event's creation until the relay handed it to the transport.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 17), // 1 ms to 65 s
		}, []string{"event_name"}),
		failuresTotal: failures,
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.dispatchedTotal, m.dispatchSeconds, &backlog{pool: pool}} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register the relay's metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) dispatched(r result) {
	counts := map[string]int{}
	for _, one := range r.delivered {
		counts[one.EventName]++
		m.dispatchSeconds.WithLabelValues(one.EventName).Observe(max(0, r.publishedAt.Sub(one.CreatedAt).Seconds()))
	}
	for name, n := range counts {
		m.dispatchedTotal.WithLabelValues(name).Add(float64(n))
	}
}

func (m *metrics) failed(r *row) {
	if m.failuresTotal != nil {
		m.failuresTotal.WithLabelValues(r.EventName, HandlerName).Inc()
	}
}

// backlog reads the size of the outbox when it is scraped. The partial index
// keeps that cheap: it holds the backlog alone.
type backlog struct{ pool *pgxpool.Pool }

// scrapeTimeout bounds the query of one scrape; past it the gauges are missing.
const scrapeTimeout = 2 * time.Second

var (
	pendingCount = prometheus.NewDesc("outbox_pending_count", "Events that wait to be published.", nil, nil)
	parkedCount  = prometheus.NewDesc("outbox_parked_count", "Events that wait for a person.", nil, nil)
	oldestAge    = prometheus.NewDesc("outbox_oldest_pending_age_seconds", "Age of the oldest event that waits to be published.", nil, nil)
)

// Describe implements prometheus.Collector.
func (*backlog) Describe(ch chan<- *prometheus.Desc) {
	ch <- pendingCount
	ch <- parkedCount
	ch <- oldestAge
}

// Collect implements prometheus.Collector.
func (b *backlog) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	var pending, parked int64
	var oldest float64
	err := b.pool.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE parked_at IS NULL), count(*) FILTER (WHERE parked_at IS NOT NULL),
		       coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE parked_at IS NULL)), 0)
		FROM waiting_room_outbox WHERE NOT published`).Scan(&pending, &parked, &oldest)
	if err != nil {
		for _, d := range []*prometheus.Desc{pendingCount, parkedCount, oldestAge} {
			ch <- prometheus.NewInvalidMetric(d, err)
		}
		return
	}
	ch <- prometheus.MustNewConstMetric(pendingCount, prometheus.GaugeValue, float64(pending))
	ch <- prometheus.MustNewConstMetric(parkedCount, prometheus.GaugeValue, float64(parked))
	ch <- prometheus.MustNewConstMetric(oldestAge, prometheus.GaugeValue, max(0, oldest))
}
