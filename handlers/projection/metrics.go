package projection

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// metrics are the numbers of the projections.
type metrics struct {
	lagMs             *prometheus.GaugeVec
	lagSeconds        *prometheus.HistogramVec
	processingSeconds *prometheus.HistogramVec
	batchEvents       prometheus.Histogram
	gapEvents         *prometheus.CounterVec
	failuresTotal     *prometheus.CounterVec
}

func newMetrics(store *readmodel.Store, registerer prometheus.Registerer, failures *prometheus.CounterVec) (*metrics, error) {
	buckets := prometheus.ExponentialBuckets(0.001, 2, 17) // 1 ms to 65 s
	labels := []string{"event_name", "projection"}
	m := &metrics{
		lagMs: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "event_processing_lag_ms",
			Help: "Time from the creation of the last projected event until its read model showed it, in milliseconds.",
		}, labels),
		lagSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "event_processing_lag_seconds", Buckets: buckets,
			Help: "Time from an event's creation until a read model showed it.",
		}, labels),
		processingSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "projection_processing_duration_seconds", Buckets: buckets,
			Help: "Time from an event's publication until a read model showed it.",
		}, labels),
		batchEvents: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "projection_batch_events", Buckets: prometheus.ExponentialBuckets(1, 2, 10),
			Help: "Events that shared a transaction.",
		}),
		gapEvents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "projection_gap_events_total",
			Help: "Events that were read from the event store, since a later one of their queue came first.",
		}, []string{"projection"}),
		failuresTotal: failures,
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.lagMs, m.lagSeconds, m.processingSeconds, m.batchEvents, m.gapEvents, &checkpoints{store: store}} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register the projections' metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) processed(projection string, e schema.Recorded, now time.Time) {
	name := e.Event.EventName()
	lag := max(0, now.Sub(e.Metadata.OccurredAt).Seconds())
	m.lagMs.WithLabelValues(name, projection).Set(lag * 1000)
	m.lagSeconds.WithLabelValues(name, projection).Observe(lag)
	if e.PublishedAt.IsZero() { // read from the store; its message comes later
		m.gapEvents.WithLabelValues(projection).Inc()
		return
	}
	m.processingSeconds.WithLabelValues(name, projection).Observe(max(0, now.Sub(e.PublishedAt).Seconds()))
}

func (m *metrics) batch(events int) { m.batchEvents.Observe(float64(events)) }

func (m *metrics) failed(eventName, handler string) {
	if m.failuresTotal == nil {
		return
	}
	if schema.CurrentVersion(eventName) == 0 {
		eventName = "unknown" // a header from outside must not make label values
	}
	m.failuresTotal.WithLabelValues(eventName, handler).Inc()
}

// checkpoints reads the projections' checkpoints when they are scraped.
type checkpoints struct{ store *readmodel.Store }

// scrapeTimeout bounds the query of one scrape; past it the gauges are missing.
const scrapeTimeout = 2 * time.Second

var (
	checkpointAge = prometheus.NewDesc("projection_checkpoint_age_seconds",
		"0 for a projection that has applied everything; else how long its checkpoint has stood still while events wait, "+
			"or how long an event that it gave up has waited for a replay or a rebuild, whichever is longer.", []string{"projection"}, nil)
	checkpointPosition = prometheus.NewDesc("projection_checkpoint_position",
		"Global position of the last event that the projection applied.", []string{"projection"}, nil)
)

// Describe implements prometheus.Collector.
func (*checkpoints) Describe(ch chan<- *prometheus.Desc) {
	ch <- checkpointAge
	ch <- checkpointPosition
}

// Collect implements prometheus.Collector.
func (c *checkpoints) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	all, err := c.store.Checkpoints(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(checkpointAge, err)
		return
	}
	for _, p := range all {
		ch <- prometheus.MustNewConstMetric(checkpointAge, prometheus.GaugeValue, p.Age.Seconds(), p.ProjectionID)
		ch <- prometheus.MustNewConstMetric(checkpointPosition, prometheus.GaugeValue, float64(p.LastPosition), p.ProjectionID)
	}
}
