package projection

import (
	"context"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/handlers/poison"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

const (
	// checkEvents bounds the events of one look at the store.
	checkEvents = 5000
	// checkSoon is the least pause before the next look, and checkLater that while
	// there are no young events.
	checkSoon  = 3 * time.Second
	checkLater = 30 * time.Second
)

// CatchUp brings projections to what the event store has, past the broker: what it
// lost, or what was published while a queue was gone. It looks at each stored event
// once, 25 s after its commit.
type CatchUp struct {
	store    *readmodel.Store
	poisoned message.Publisher
	logger   *slog.Logger
	caughtUp prometheus.Counter
}

// NewCatchUp returns a CatchUp; Run does the work. poisoned takes, by projection, the
// events that cannot be applied. Its counter is registered unless registerer is nil.
func NewCatchUp(store *readmodel.Store, poisoned message.Publisher, logger *slog.Logger, registerer prometheus.Registerer) (*CatchUp, error) {
	c := &CatchUp{store: store, poisoned: poisonByProjection{poisoned}, logger: logger, caughtUp: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "projection_catch_up_events_total",
		Help: "Events that projections were brought from the event store, since no message told them.",
	})}
	if registerer != nil {
		if err := registerer.Register(c.caughtUp); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Run looks at the event store until ctx ends. Several processes may do so at once.
func (c *CatchUp) Run(ctx context.Context) error {
	for {
		pause, err := c.once(ctx)
		if err != nil && ctx.Err() == nil {
			c.logger.WarnContext(ctx, "catching up from the event store failed; it is tried again", "Component", "ProjectionWorker", "error", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// once brings the projections up to date and returns when to look again.
func (c *CatchUp) once(ctx context.Context) (pause time.Duration, err error) {
	for {
		check, err := c.store.Check(ctx, checkEvents)
		if err != nil {
			return checkSoon, err
		}
		if len(check.Missing) > 0 {
			if err := c.bring(ctx, check); err != nil {
				return checkSoon, err
			}
		}
		switch {
		case check.More:
			continue
		case check.Settles > 0:
			return max(checkSoon, check.Settles), nil
		default:
			return checkLater, nil
		}
	}
}

// bring applies what is missing, with what was before it, and notes that. What a
// projection cannot apply is poisoned for it, as if a message had brought it.
func (c *CatchUp) bring(ctx context.Context, check readmodel.Check) error {
	missing := check.Missing
	applied, errs := c.store.ApplyEach(ctx, missing)
	events := 0
	for _, a := range applied {
		events = max(events, len(a.Events))
	}
	c.caughtUp.Add(float64(events))
	c.logger.WarnContext(ctx, "projections were brought events from the store that no message told them of",
		"Component", "ProjectionWorker", "queues", len(missing), "events", events)
	for i, err := range errs {
		if err == nil {
			continue
		}
		if !isPoison(err) {
			return err
		}
		if err := c.poison(missing[i], err); err != nil {
			return err
		}
	}
	return c.store.Checked(ctx, check)
}

func (c *CatchUp) poison(event schema.Recorded, why error) error {
	payload, err := schema.Encode(event.Event)
	if err != nil {
		return err
	}
	msg := message.NewMessage(event.Metadata.EventID, payload)
	msg.Metadata = schema.Headers(event.Event.EventName(), event.Metadata)
	msg.Metadata.Set(middleware.ReasonForPoisonedKey, why.Error())
	msg.Metadata.Set(middleware.PoisonedTopicKey, schema.Topic)
	noteCulprits(msg, why)
	return c.poisoned.Publish(poison.Topic, msg)
}
