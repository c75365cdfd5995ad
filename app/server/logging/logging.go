package logging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
)

// The properties by which operators search the logs, in Seq and elsewhere.
const (
	// ComponentKey is the part of RLAPP that speaks, such as "OutboxWorker".
	ComponentKey = "Component"
	// EventTypeKey is the kind of a happening, such as "ProjectionError".
	EventTypeKey = "EventType"
	// ProcessingDurationKey is a time in milliseconds, a number.
	ProcessingDurationKey = "ProcessingDurationMs"
	// CorrelationIDKey ties together everything that a request caused.
	CorrelationIDKey = "CorrelationId"
)

// Config says what is logged, how and where. The zero value is ready for use.
type Config struct {
	// Format is "text" or "json". Default: "text".
	Format string
	// Level is the least severe level that is logged. Default: slog.LevelInfo.
	Level slog.Level
	// Writer takes the lines. Default: os.Stderr.
	Writer io.Writer
	// SeqURL is a Seq server, such as "http://localhost:5341". Default: none.
	SeqURL string
	// SeqAPIKey is sent to Seq. Default: none.
	SeqAPIKey string
	// Service is the name of the process in Seq. Default: "rlapp".
	Service string
}

func (c *Config) setDefaults() {
	if c.Format == "" {
		c.Format = "text"
	}
	if c.Writer == nil {
		c.Writer = os.Stderr
	}
	if c.Service == "" {
		c.Service = "rlapp"
	}
}

// New returns a logger and the function that ends it. With a SeqURL records wait
// in a bounded queue for a goroutine that sends them; a Seq that is away or slow
// holds up nobody, costs the oldest records of the queue, and is told of on
// Writer at most once a minute. The function sends what is left, until its
// context ends, and ends the goroutine; call it once, after the last record. It
// returns an error when records may be missing in Seq.
//
// New returns every mistake of the config at once. The logger adds the context's
// correlation id to each record, and hides the value of attributes that are named
// for a patient's name: the last net, since nobody is to log one.
func New(config Config) (*slog.Logger, func(context.Context) error, error) {
	config.setDefaults()
	options := &slog.HandlerOptions{Level: config.Level}
	var (
		local slog.Handler
		errs  []error
	)
	switch config.Format {
	case "text":
		local = slog.NewTextHandler(config.Writer, options)
	case "json":
		local = slog.NewJSONHandler(config.Writer, options)
	default:
		errs = append(errs, fmt.Errorf(`format %q: must be "text" or "json"`, config.Format))
	}
	if config.SeqURL == "" && len(errs) == 0 {
		return slog.New(newHandler(config.Level, local)), func(context.Context) error { return nil }, nil
	}
	endpoint, err := seqEndpoint(config.SeqURL)
	if err != nil && config.SeqURL != "" {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, fmt.Errorf("logging config: %w", err)
	}
	seq, err := startSeq(endpoint, config, slog.New(local))
	if err != nil {
		return nil, nil, fmt.Errorf("log to Seq: %w", err)
	}
	return slog.New(newHandler(config.Level, slog.NewMultiHandler(local, seq.handler))), seq.shutdown, nil
}
