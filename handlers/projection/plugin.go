package projection

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/handlers/poison"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// HandlerName is the name of the one handler of all projections in its router, in
// metrics and of its queue. It is public API: a renamed handler starts with an empty
// queue, and the old one fills up.
const HandlerName = "projections"

// MaxInFlight is how many messages the handler's subscriber may hand out before
// their acks: while a batch is written the next ones arrive.
const MaxInFlight = 3 * maxBatch

// Config tunes the handlers. The zero value is ready for use.
type Config struct {
	// MaxRetries is how often a failing event is tried again before it is
	// poisoned. Default: 5.
	MaxRetries int
	// RetryInterval is the first wait between tries; it doubles up to twenty
	// times its value. Default: 50 ms.
	RetryInterval time.Duration
	// SlowAfter is the duration from which handling an event is logged as a
	// warning. Default: 500 ms, the guide's search for slow events.
	SlowAfter time.Duration
	// Registerer takes the metrics. Default: none.
	Registerer prometheus.Registerer
	// Failures counts the events that were given up after all retries, by the labels
	// event_name and handler. Default: they are not counted.
	Failures *prometheus.CounterVec
}

func (c *Config) setDefaults() {
	if c.SlowAfter == 0 {
		c.SlowAfter = 500 * time.Millisecond
	}
}

// Plugin returns a router plugin that adds one handler for all projections: each
// event is delivered and decoded once. subscriber may hand out up to MaxInFlight
// messages at a time, in any order. messages takes, for each projection that failed,
// those that were given up, with the projection's HandlerName.
func Plugin(
	store *readmodel.Store, subscriber message.Subscriber, messages message.Publisher, logger *slog.Logger, config Config,
) (message.RouterPlugin, error) {
	config.setDefaults()
	metrics, err := newMetrics(store, config.Registerer, config.Failures)
	if err != nil {
		return nil, err
	}
	h := newHandler(store, logger, metrics, config.SlowAfter)
	around, err := poison.Middlewares(HandlerName, poisonByProjection{messages},
		poison.Config{MaxRetries: config.MaxRetries, RetryInterval: config.RetryInterval, IsPoison: isPoison}, nameCulprits, h.observeFailure)
	if err != nil {
		return nil, fmt.Errorf("make the poison middleware: %w", err)
	}
	return func(router *message.Router) error {
		router.AddConsumerHandler(HandlerName, schema.Topic, subscriber, h.handle).AddMiddleware(around...)
		return nil
	}, nil
}
