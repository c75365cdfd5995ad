package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// relayLock is the advisory lock that one relay holds. Two numbers keep it clear
// of other programs' locks in the same database.
const (
	relayLockClass = 0x524c4150 // "RLAP"
	relayLockID    = 1
)

// lead takes the relay's lock on a session of its own, listens there for
// wake-ups, and relays until the session or ctx ends.
func (s *Subscriber) lead(ctx context.Context, out chan<- *message.Message) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	// The session holds the lock, so it is closed, never handed back.
	session := conn.Hijack()
	defer closeSession(session)

	if err := s.takeLock(ctx, session); err != nil {
		return err
	}
	if _, err := session.Exec(ctx, "LISTEN "+pgx.Identifier{schema.OutboxChannel}.Sanitize()); err != nil {
		return fmt.Errorf("listen for wake-ups: %w", err)
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		for {
			if _, err := session.WaitForNotification(ctx); err != nil {
				cancel(fmt.Errorf("the session that holds the relay's lock ended: %w", err))
				return
			}
			s.Wake()
		}
	}()
	err = s.relay(ctx, out)
	cancel(err)
	<-listening
	return context.Cause(ctx)
}

func closeSession(session *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = session.Close(ctx)
}

// takeLock waits until this process is the one that relays.
func (s *Subscriber) takeLock(ctx context.Context, session *pgx.Conn) error {
	for {
		var ours bool
		err := session.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, $2)", relayLockClass, relayLockID).Scan(&ours)
		if err != nil {
			return fmt.Errorf("take the relay's lock: %w", err)
		}
		if ours {
			s.logger.InfoContext(ctx, "relaying the outbox", "Component", "OutboxWorker")
			return nil
		}
		if !s.pause(ctx, min(s.config.PollInterval, time.Second)) {
			return ctx.Err()
		}
	}
}

// relay drains the outbox whenever there is something in it.
func (s *Subscriber) relay(ctx context.Context, out chan<- *message.Message) error {
	outage := s.config.OutageDelay
	for ctx.Err() == nil {
		more, away, err := s.drain(ctx, out)
		switch {
		case err != nil:
			return err
		case away:
			s.pause(ctx, outage)
			outage = min(2*outage, 10*s.config.OutageDelay)
		case more:
			outage = s.config.OutageDelay
		default:
			outage = s.config.OutageDelay
			s.idle(ctx)
		}
	}
	return ctx.Err()
}

// drain hands over one batch. It reports whether there may be more, and whether
// the transport is away.
func (s *Subscriber) drain(ctx context.Context, out chan<- *message.Message) (more, away bool, err error) {
	pending, err := s.read(ctx)
	if err != nil {
		return false, false, err
	}
	var delivered []*row
	failed := map[*row]outcome{}
	held := map[string]bool{}
	for _, r := range pending {
		if held[r.AggregateID] {
			continue
		}
		outcome := s.handOver(ctx, out, r)
		if outcome.ended || outcome.away {
			away = outcome.away
			break
		}
		if outcome.failure == "" {
			r.took = time.Since(r.publishedAt)
			delivered = append(delivered, r)
			continue
		}
		held[r.AggregateID] = true
		failed[r] = outcome
	}
	return len(pending) == s.config.BatchSize, away, s.mark(ctx, delivered, failed)
}

// mark writes the outcome of a batch, also while stopping: what was delivered
// would come again.
func (s *Subscriber) mark(ctx context.Context, delivered []*row, failed map[*row]outcome) error {
	marking, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	errs := []error{s.markPublished(marking, delivered)}
	if errs[0] == nil {
		s.metrics.dispatched(delivered)
		s.logDispatched(ctx, delivered)
	}
	for r, o := range failed {
		errs = append(errs, s.recordFailure(marking, r, o))
	}
	return errors.Join(errs...)
}

// markTimeout bounds the last write of a stopping relay.
const markTimeout = 5 * time.Second

// outcome is how handing over one row ended.
type outcome struct {
	ended    bool   // ctx ended first; nothing is known
	away     bool   // the transport is away; nothing is wrong with the row
	failure  string // why it failed, "" when it was delivered
	hopeless bool   // no retry can help
}

func (s *Subscriber) handOver(ctx context.Context, out chan<- *message.Message, r *row) outcome {
	msg, err := r.message(s.config.Destination, time.Now())
	if err != nil {
		return outcome{failure: err.Error(), hopeless: true}
	}
	tried := &attempt{}
	msg.SetContext(withAttempt(ctx, tried))
	select {
	case <-ctx.Done():
		return outcome{ended: true}
	case out <- msg:
	}
	if !s.settled(ctx, msg) {
		return outcome{ended: true}
	}
	select {
	case <-msg.Acked():
		return outcome{failure: tried.parked, hopeless: tried.parked != ""}
	default:
	}
	switch {
	case ctx.Err() != nil:
		return outcome{ended: true}
	case tried.err == nil:
		return outcome{failure: "nacked without a reason"}
	case s.config.IsOutage(tried.err):
		s.logger.WarnContext(ctx, "the transport is away; events wait in the outbox",
			"Component", "OutboxWorker", "error", tried.err)
		return outcome{away: true}
	default:
		return outcome{failure: tried.err.Error()}
	}
}

// settled waits for the ack or nack of a message that was handed over. A relay
// that stops still waits a while: the handler is at work, and its outcome must
// reach the row, else the event is published twice.
func (s *Subscriber) settled(ctx context.Context, msg *message.Message) bool {
	select {
	case <-msg.Acked():
		return true
	case <-msg.Nacked():
		return true
	case <-ctx.Done():
	}
	timer := time.NewTimer(s.config.CloseTimeout)
	defer timer.Stop()
	select {
	case <-msg.Acked():
		return true
	case <-msg.Nacked():
		return true
	case <-timer.C:
		return false
	}
}

func (s *Subscriber) logDispatched(ctx context.Context, delivered []*row) {
	if !s.logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	for _, r := range delivered {
		s.logger.DebugContext(ctx, "event relayed", "Component", "OutboxWorker", "EventType", r.EventName,
			"CorrelationId", r.correlationID, "ProcessingDurationMs", float64(r.took.Microseconds())/1000,
			"eventId", r.EventID, "queueId", r.AggregateID)
	}
}

func (s *Subscriber) recordFailure(ctx context.Context, r *row, o outcome) error {
	parked, err := s.markFailed(ctx, r, o.failure, o.hopeless)
	if err != nil {
		return err
	}
	s.metrics.failed(r)
	s.logger.ErrorContext(ctx, "an event could not be relayed", "Component", "OutboxWorker",
		"EventType", r.EventName, "CorrelationId", r.correlationID, "eventId", r.EventID, "queueId", r.AggregateID,
		"attempt", r.RetryCount+1, "parked", parked, "error", o.failure)
	return nil
}
