package httpapi

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/readmodel"
)

// rebuildProgress reads how far the rebuilds of this process have come when they are
// scraped.
type rebuildProgress struct{ rebuilds *readmodel.Rebuilder }

var rebuiltEvents = prometheus.NewDesc("projection_rebuild_events",
	"Events that the running rebuild has applied so far; 0 while none runs.", []string{"projection"}, nil)

func (p *rebuildProgress) register(registerer prometheus.Registerer) error {
	if registerer == nil {
		return nil
	}
	if err := registerer.Register(p); err != nil {
		return fmt.Errorf("register the rebuilds' metrics: %w", err)
	}
	return nil
}

// Describe implements prometheus.Collector.
func (*rebuildProgress) Describe(ch chan<- *prometheus.Desc) { ch <- rebuiltEvents }

// Collect implements prometheus.Collector.
func (p *rebuildProgress) Collect(ch chan<- prometheus.Metric) {
	for _, one := range readmodel.Projections() {
		events := float64(p.rebuilds.Progress(one.ID).Events)
		ch <- prometheus.MustNewConstMetric(rebuiltEvents, prometheus.GaugeValue, events, one.ID)
	}
}
