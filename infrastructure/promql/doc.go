// Package promql finds the metrics that a PromQL expression reads, so that tests can tell a dashboard or an alert that
// watches a metric nobody exposes. It is a tokenizer, not a parser: whether an expression is valid is for promtool and
// Prometheus to say. Tests alone may import it; no check-in passes it.
package promql
