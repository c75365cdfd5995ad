package command

import (
	"context"
	"hash/fnv"
	"runtime"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rlapp/rlapp/waitingroom"
)

// EventStore is what the use cases need of the event store.
type EventStore interface {
	// Load brings queues up to date; one at version 0 begins from its snapshot, if
	// it has one.
	Load(ctx context.Context, queues ...*waitingroom.Queue) error
	// Append stores all changes in one transaction, and answers in their order. It
	// returns *waitingroom.Error with CodeConflict when one of the queues has moved
	// on, *waitingroom.KeyTakenError when a request was answered before, and
	// *waitingroom.RolledBackError for another refusal after which nothing is stored;
	// after any other error that is not known.
	Append(ctx context.Context, changes ...waitingroom.Change) ([]waitingroom.Appended, error)
	// Answers returns the answers that are remembered for keys, by key.
	Answers(ctx context.Context, keys ...string) (map[string]waitingroom.Answer, error)
}

// Config tunes the handlers. The zero value is ready for use.
type Config struct {
	// MaxCapacity is the capacity of a queue that a check-in creates. Default:
	// waitingroom.DefaultMaxCapacity.
	MaxCapacity int
	// Location is the clinic's time zone, in which its days begin: tickets are counted by
	// the day. Default: UTC.
	Location *time.Location
	// Lanes is the number of lanes that the queues of this process are spread over.
	// The commands of a lane take turns, those that wait share a transaction, and
	// each lane uses one connection. The store decides races with other processes.
	// Default: one for every two processors, at least 1; more make smaller batches, and
	// with them more commits (docs/decisions/0005).
	Lanes int
	// MaxAttempts bounds how often a command is decided anew after a lost race
	// for its queue, or after IsContended. Default: 20; each attempt means that another
	// one got through.
	MaxAttempts int
	// CommitTimeout bounds the loading, deciding and storing of one batch.
	// Default: 10 s.
	CommitTimeout time.Duration
	// CacheSize bounds the queues that are kept loaded: their number and that of
	// their patients, over all lanes. Default: 400,000, which is some 180 MB
	// (BenchmarkCache).
	CacheSize int
	// SnapshotEvery is the number of events from which a queue's next snapshot is
	// due; it grows with the number of its patients. Default: 500.
	SnapshotEvery int
	// MaxWaiting bounds the commands that wait for their turn, over all lanes; what
	// comes beyond gets *UnavailableError. Default: 10,000.
	MaxWaiting int
	// IsOutage says that an error of the store is about the store, not the command.
	// Commands are then refused with *UnavailableError, and OutagePause later the
	// next one tries again. Default: no error is.
	IsOutage func(error) bool
	// IsContended says that the store gave a command up for the sake of others, and did
	// nothing of it: it is tried again alone, and after MaxAttempts refused with
	// *UnavailableError. Default: no error says so.
	IsContended func(error) bool
	// OutagePause is how long the store is left alone. Default: 500 ms.
	OutagePause time.Duration
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

func (c *Config) setDefaults() {
	setDefault(&c.Lanes, max(1, runtime.GOMAXPROCS(0)/2))
	setDefault(&c.MaxAttempts, 20)
	setDefault(&c.CommitTimeout, 10*time.Second)
	setDefault(&c.CacheSize, 400_000)
	setDefault(&c.SnapshotEvery, 500)
	setDefault(&c.MaxWaiting, 10_000)
	setDefault(&c.OutagePause, 500*time.Millisecond)
	if c.IsOutage == nil {
		c.IsOutage = func(error) bool { return false }
	}
	if c.IsContended == nil {
		c.IsContended = func(error) bool { return false }
	}
	if c.Location == nil {
		c.Location = time.UTC
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field < 1 {
		*field = value
	}
}

// Handlers are the use cases over an event store.
type Handlers struct {
	config   Config
	lanes    []*lane
	away     *breaker
	inFlight *inFlight
}

// NewHandlers returns the use cases.
func NewHandlers(store EventStore, config Config) *Handlers {
	config.setDefaults()
	h := &Handlers{config: config, away: &breaker{config: config}, inFlight: newInFlight()}
	for range config.Lanes {
		h.lanes = append(h.lanes, &lane{store: store, config: config, away: h.away, cache: newCache(config.CacheSize / config.Lanes)})
	}
	return h
}

// lane is the lane of a queue.
func (h *Handlers) lane(queueID string) *lane {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(queueID))
	return h.lanes[int(hash.Sum32()%uint32(len(h.lanes)))] //nolint:gosec // the number of lanes is small
}

// handle lets the command's queue decide, and stores what it decided.
func handle[C waitingroom.Command](msg *message.Message, h *Handlers, e Envelope[C]) (waitingroom.Appended, error) {
	c, err := waitingroom.Normalised(e.Command)
	if err != nil {
		return waitingroom.Appended{}, err
	}
	request, err := requestOf(e)
	if err != nil {
		return waitingroom.Appended{}, err
	}
	if request != nil {
		if err := h.inFlight.begin(*request); err != nil {
			return waitingroom.Appended{}, err
		}
		defer h.inFlight.end(*request)
	}
	at := h.config.Now()
	command := h.complete(c, at)
	return h.lane(c.Aggregate()).do(&task{
		ctx:     msg.Context(),
		queueID: c.Aggregate(),
		command: command,
		request: request,
		cause: waitingroom.Cause{
			OccurredAt:     at,
			CorrelationID:  e.CorrelationID,
			CausationID:    msg.UUID,
			Actor:          e.Actor,
			IdempotencyKey: e.IdempotencyKey,
		},
	})
}

// complete adds what only the handler knows.
func (h *Handlers) complete(c waitingroom.Command, at time.Time) waitingroom.Command {
	if checkIn, ok := c.(waitingroom.CheckIn); ok {
		checkIn.At, checkIn.MaxCapacity = at.In(h.config.Location), h.config.MaxCapacity
		return checkIn
	}
	return c
}
