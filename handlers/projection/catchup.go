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
	// settledAfter is how long after an event was seen all events with lower positions
	// are visible: positions are given before a commit, which a transaction of ours
	// reaches within ten seconds (command.Config.CommitTimeout) or not at all.
	settledAfter = 17 * time.Second
	// checkSoon is the least pause before the next look, and checkLater the longest: an
	// event is seen that long after its commit at the latest, and looked at when it has
	// settled, so what is lost is made up for within 28 s.
	checkSoon  = 3 * time.Second
	checkLater = 10 * time.Second
)

// CatchUp brings projections to what the event store has, past the broker: what it
// lost, or what was published while a queue was gone. It looks at each stored event
// once, when it has settled. What the clocks say, and said when events were stored,
// does not matter to it. It is used by one goroutine.
type CatchUp struct {
	store    *readmodel.Store
	poisoned message.Publisher
	logger   *slog.Logger
	caughtUp prometheus.Counter
	now      func() time.Time // a monotonic clock
	seen     []sighting       // the last that has settled, and what came since
}

// sighting is the position of the store's last event at a moment.
type sighting struct {
	at       time.Time
	position int64
}

// NewCatchUp returns a CatchUp; Run does the work. poisoned takes, by projection, the
// events that cannot be applied. Its counter is registered unless registerer is nil.
func NewCatchUp(store *readmodel.Store, poisoned message.Publisher, logger *slog.Logger, registerer prometheus.Registerer) (*CatchUp, error) {
	c := &CatchUp{store: store, poisoned: poisonByProjection{poisoned}, logger: logger, now: time.Now, caughtUp: prometheus.NewCounter(prometheus.CounterOpts{
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
		check, err := c.store.Check(ctx, c.settled(), checkEvents)
		if err != nil {
			return checkSoon, err
		}
		c.see(check.Newest)
		if len(check.Missing)+len(check.Unreadable) > 0 {
			if err := c.bring(ctx, check); err != nil {
				return checkSoon, err
			}
		}
		if !check.More {
			return c.pause(), nil
		}
	}
}

// settled is the position up to which all events are visible.
func (c *CatchUp) settled() int64 {
	for len(c.seen) > 1 && c.hasSettled(c.seen[1]) {
		c.seen = c.seen[1:]
	}
	if len(c.seen) == 0 || !c.hasSettled(c.seen[0]) {
		return 0
	}
	return c.seen[0].position
}

func (c *CatchUp) hasSettled(s sighting) bool { return c.now().Sub(s.at) >= settledAfter }

// see notes the store's last event, where it is a new one.
func (c *CatchUp) see(position int64) {
	if n := len(c.seen); n == 0 || c.seen[n-1].position != position {
		c.seen = append(c.seen, sighting{c.now(), position})
	}
}

// pause is the time until the next event settles, in two halves where that is long: a
// look just before it would cost checkSoon more.
func (c *CatchUp) pause() time.Duration {
	for _, s := range c.seen {
		if c.hasSettled(s) {
			continue
		}
		left := settledAfter - c.now().Sub(s.at)
		if left > checkLater {
			left /= 2
		}
		return max(checkSoon, left)
	}
	return checkLater
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
