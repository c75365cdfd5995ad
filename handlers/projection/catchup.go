package projection

import (
	"context"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rlapp/rlapp/handlers/catchup"
	"github.com/rlapp/rlapp/handlers/poison"
	"github.com/rlapp/rlapp/readmodel"
	"github.com/rlapp/rlapp/schema"
)

// checkEvents bounds the events of one look at the store.
const checkEvents = 5000

// CatchUp brings projections to what the event store has, past the broker: what it
// lost, or what was published while a queue was gone. It looks at each stored event
// once, within catchup.Within of its commit. It is used by one goroutine.
type CatchUp struct {
	store    *readmodel.Store
	poisoned message.Publisher
	logger   *slog.Logger
	caughtUp prometheus.Counter
	loop     catchup.Loop
}

// NewCatchUp returns a CatchUp; Run does the work. poisoned takes, by projection, the
// events that cannot be applied. Its counter is registered unless registerer is nil.
func NewCatchUp(store *readmodel.Store, poisoned message.Publisher, logger *slog.Logger, registerer prometheus.Registerer) (*CatchUp, error) {
	c := &CatchUp{store: store, poisoned: poisonByProjection{poisoned}, logger: logger, caughtUp: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "projection_catch_up_events_total",
		Help: "Events that projections were brought from the event store, since no message told them.",
	})}
	c.loop.Look = c.look
	if registerer != nil {
		if err := registerer.Register(c.caughtUp); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Run looks at the event store until ctx ends. Several processes may do so at once.
func (c *CatchUp) Run(ctx context.Context) error {
	return c.loop.Run(ctx, func(err error) {
		c.logger.WarnContext(ctx, "catching up from the event store failed; it is tried again", "Component", "ProjectionWorker", "error", err)
	})
}

// look brings the projections what they lack of the events up to a position.
func (c *CatchUp) look(ctx context.Context, settled int64) (newest int64, err error) {
	for {
		check, err := c.store.Check(ctx, settled, checkEvents)
		if err != nil {
			return newest, err
		}
		newest = check.Newest
		if len(check.Missing)+len(check.Unreadable) > 0 {
			if err := c.bring(ctx, check); err != nil {
				return newest, err
			}
		}
		if !check.More {
			return newest, nil
		}
	}
}

// bring applies what is missing, with what was before it, and notes that. What cannot
// be read, or what a projection cannot apply, is poisoned for it, as if a message had
// brought it.
func (c *CatchUp) bring(ctx context.Context, check readmodel.Check) error {
	missing := check.Missing
	applied, errs := c.store.ApplyEach(ctx, missing)
	events := 0
	for _, a := range applied {
		events = max(events, len(a.Events))
	}
	c.caughtUp.Add(float64(events))
	c.logger.WarnContext(ctx, "projections were brought events from the store that no message told them of",
		"Component", "ProjectionWorker", "queues", len(missing), "events", events, "unreadable", len(check.Unreadable))
	for i, err := range errs {
		if err == nil {
			continue
		}
		if !isPoison(err) {
			return err
		}
		payload, encodeErr := schema.Encode(missing[i].Event)
		if encodeErr != nil {
			return encodeErr
		}
		if err := c.poison(missing[i].Event.EventName(), missing[i].Metadata, payload, err); err != nil {
			return err
		}
	}
	for _, u := range check.Unreadable {
		if err := c.poison(u.EventName, u.Metadata, u.Payload, u.Err); err != nil {
			return err
		}
	}
	return c.store.Checked(ctx, check)
}

func (c *CatchUp) poison(name string, m schema.Metadata, payload []byte, why error) error {
	msg := message.NewMessage(m.EventID, payload)
	msg.Metadata = schema.Headers(name, m)
	msg.Metadata.Set(middleware.ReasonForPoisonedKey, why.Error())
	msg.Metadata.Set(middleware.PoisonedTopicKey, schema.Topic)
	noteCulprits(msg, why)
	return c.poisoned.Publish(poison.Topic, msg)
}
