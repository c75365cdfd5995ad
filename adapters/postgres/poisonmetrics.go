package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// poisonWaiting is read from the table, unlike a counter of failures: it is there from
// the first message on, and also after a restart.
var poisonWaiting = prometheus.NewDesc("poison_waiting_count",
	"Events that a handler gave up and that wait for a person.", []string{"handler"}, nil)

// scrapeTimeout bounds the query of one scrape; past it the gauge is missing.
const scrapeTimeout = 2 * time.Second

// Describe implements prometheus.Collector.
func (p *PoisonStore) Describe(ch chan<- *prometheus.Desc) { ch <- poisonWaiting }

// Collect implements prometheus.Collector: a handler without waiting messages has no
// series.
func (p *PoisonStore) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, "SELECT handler, count(*) FROM poison_messages WHERE status = 'WAITING' GROUP BY handler")
	if err == nil {
		var handler string
		var n int64
		_, err = pgx.ForEachRow(rows, []any{&handler, &n}, func() error {
			ch <- prometheus.MustNewConstMetric(poisonWaiting, prometheus.GaugeValue, float64(n), handler)
			return nil
		})
	}
	if err != nil {
		ch <- prometheus.NewInvalidMetric(poisonWaiting, err)
	}
}
