package command

import "github.com/prometheus/client_golang/prometheus"

var (
	storeAway = prometheus.NewDesc("event_store_away",
		"1 while commands are refused at once, since the event store is away; else 0.", nil, nil)
	commandsWaiting = prometheus.NewDesc("commands_waiting",
		"Commands that wait for their turn; beyond 10,000 they are refused.", nil, nil)
)

// Describe implements prometheus.Collector.
func (h *Handlers) Describe(ch chan<- *prometheus.Desc) {
	ch <- storeAway
	ch <- commandsWaiting
}

// Collect implements prometheus.Collector.
func (h *Handlers) Collect(ch chan<- prometheus.Metric) {
	away, waiting := 0.0, 0
	if h.away.open() {
		away = 1
	}
	for _, l := range h.lanes {
		waiting += l.length()
	}
	ch <- prometheus.MustNewConstMetric(storeAway, prometheus.GaugeValue, away)
	ch <- prometheus.MustNewConstMetric(commandsWaiting, prometheus.GaugeValue, float64(waiting))
}
