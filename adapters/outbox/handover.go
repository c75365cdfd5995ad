package outbox

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
)

// result is how handing a chunk over ended. Rows of neither list are as they were.
type result struct {
	publishedAt time.Time
	took        time.Duration
	delivered   []*row
	failed      []failure

	ended bool // ctx ended first; nothing is known
	away  bool // the transport is away; nothing is wrong with the rows
}

// failure is a row that was not delivered.
type failure struct {
	row        *row
	reason     string
	hopeless   bool // no retry can help
	unroutable bool // no queue takes it
}

var errNoReason = errors.New("nacked without a reason")

// handOver hands rows over as one message and waits for what becomes of them.
func (s *Subscriber) handOver(ctx context.Context, out chan<- *message.Message, rows []*row) result {
	r := result{publishedAt: time.Now()}
	tried := &attempt{}
	msg := message.NewMessage(watermill.NewUUID(), encodeChunk(rows, r.publishedAt))
	msg.SetContext(withAttempt(ctx, tried))
	select {
	case <-ctx.Done():
		r.ended = true
		return r
	case out <- msg:
	}
	if !s.settled(ctx, msg) {
		r.ended = true
		return r
	}
	r.took = time.Since(r.publishedAt)
	select {
	case <-msg.Acked():
		tried.err = nil
	default:
		if tried.err == nil {
			tried.err = errNoReason
		}
		if r.ended = ctx.Err() != nil && tried.failed == nil; r.ended {
			return r
		}
	}
	s.sort(ctx, rows, tried, &r)
	return r
}

// sort tells the rows that were delivered from those that were not.
func (s *Subscriber) sort(ctx context.Context, rows []*row, tried *attempt, r *result) {
	for _, one := range rows {
		err := tried.failure(one.EventID)
		switch {
		case err == nil:
			r.delivered = append(r.delivered, one)
		case s.config.IsOutage(err):
			if !r.away {
				s.logger.ErrorContext(ctx, "the transport is away; events wait in the outbox", "Component", "OutboxWorker", "error", err)
			}
			r.away = true
		case ctx.Err() != nil:
			r.ended = true // it may have failed because of the stop
		default:
			r.failed = append(r.failed, failure{
				row: one, reason: err.Error(), hopeless: tried.parked[one.EventID], unroutable: s.config.IsUnroutable(err),
			})
		}
	}
}

// settled waits for the ack or nack of a message that was handed over. A relay
// that stops still waits a while: the handler is at work, and its outcome must
// reach the rows, else the events are published twice.
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

func (s *Subscriber) logDispatched(ctx context.Context, r result) {
	if !s.logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	for _, one := range r.delivered {
		s.logger.DebugContext(ctx, "event relayed", "Component", "OutboxWorker", "EventType", one.EventName,
			"CorrelationId", one.correlationID(), "ProcessingDurationMs", float64(r.took.Microseconds())/1000,
			"eventId", one.EventID, "queueId", one.AggregateID)
	}
}

func (s *Subscriber) recordFailure(ctx context.Context, f failure) error {
	parked, err := s.markFailed(ctx, f)
	if err != nil {
		return err
	}
	s.metrics.failed(f.row)
	s.logger.ErrorContext(ctx, "an event could not be relayed", "Component", "OutboxWorker",
		"EventType", f.row.EventName, "CorrelationId", f.row.correlationID(), "eventId", f.row.EventID,
		"queueId", f.row.AggregateID, "attempt", f.row.RetryCount+1, "parked", parked, "error", f.reason)
	return nil
}
