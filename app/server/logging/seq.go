package logging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
)

const (
	// queueSize bounds the records that wait for Seq, a few MB; the oldest go first.
	queueSize = 8192
	// sendEvery is how old a record gets before it is sent.
	sendEvery = time.Second
	// sendTimeout bounds one request to Seq.
	sendTimeout = 10 * time.Second
	// complainEvery is how often an outage of Seq is told of.
	complainEvery = time.Minute
)

// seqEndpoint is where a Seq server takes OTLP logs.
// Source: https://docs.datalust.co/docs/ingestion-with-opentelemetry
func seqEndpoint(seqURL string) (string, error) {
	u, err := url.Parse(seqURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", errors.New("SeqURL: must be an http:// or https:// URL")
	}
	return u.JoinPath("ingest/otlp/v1/logs").String(), nil
}

// seq sends records to a Seq server.
type seq struct {
	handler  slog.Handler
	batches  *sdklog.BatchProcessor
	exporter *exporter
}

func startSeq(endpoint string, config Config, local *slog.Logger) (*seq, error) {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		transport = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	client := &http.Client{Transport: transport.Clone(), Timeout: sendTimeout}
	otlp, err := otlploghttp.New(context.Background(),
		otlploghttp.WithEndpointURL(endpoint),
		otlploghttp.WithHeaders(headers(config.SeqAPIKey)),
		otlploghttp.WithHTTPClient(client),
	)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	e := &exporter{next: otlp, client: client, local: local, running: running, stop: stop, done: make(chan struct{})}
	batches := sdklog.NewBatchProcessor(e,
		sdklog.WithMaxQueueSize(queueSize),
		sdklog.WithExportInterval(sendEvery),
		sdklog.WithExportTimeout(2*sendTimeout), // it may try again
	)
	provider := sdklog.NewLoggerProvider(
		sdklog.WithResource(resource.NewSchemaless(attribute.String("service.name", config.Service))),
		sdklog.WithProcessor(levels{batches}),
	)
	handler := otelslog.NewHandler("github.com/rlapp/rlapp", otelslog.WithLoggerProvider(provider))
	return &seq{handler: handler, batches: batches, exporter: e}, nil
}

func headers(apiKey string) map[string]string {
	if apiKey == "" {
		return map[string]string{}
	}
	return map[string]string{"X-Seq-ApiKey": apiKey}
}

// shutdown sends what is left until ctx ends, and waits for the sender.
func (s *seq) shutdown(ctx context.Context) error {
	err := s.batches.Shutdown(ctx)
	s.exporter.stop() // a request that outlasts ctx
	<-s.exporter.done
	s.exporter.client.CloseIdleConnections()
	if err = errors.Join(err, s.exporter.failure); err != nil {
		return fmt.Errorf("flush the logs to Seq: %w", err)
	}
	return nil
}

// levels names levels as Seq's searches do, so that Level = "Error" finds them.
type levels struct{ sdklog.Processor }

// OnEmit adds the property Level to a record.
func (l levels) OnEmit(ctx context.Context, r *sdklog.Record) error {
	name := levelName(r.Severity())
	r.SetSeverityText(name)
	r.AddAttributes(attribute.String("Level", name))
	return l.Processor.OnEmit(ctx, r)
}

func levelName(s log.Severity) string {
	switch {
	case s < log.SeverityInfo:
		return "Debug"
	case s < log.SeverityWarn:
		return "Information"
	case s < log.SeverityError:
		return "Warning"
	default:
		return "Error"
	}
}
