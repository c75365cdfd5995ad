package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rlapp/rlapp/schema"
)

// lead joins the relays on a session of its own, which holds the locks of its
// lanes and listens for wake-ups, and relays until the session or ctx ends.
func (s *Subscriber) lead(ctx context.Context, out chan<- *message.Message) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	// The session holds the locks, so it is closed, never handed back.
	session := conn.Hijack()
	lanes := &lanes{session: session, logger: s.logger}
	defer lanes.leave()

	if err := lanes.join(ctx); err != nil {
		return err
	}
	if _, err := session.Exec(ctx, notice+"LISTEN "+pgx.Identifier{schema.OutboxChannel}.Sanitize()); err != nil {
		return fmt.Errorf("listen for wake-ups: %w", err)
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	attending := make(chan struct{})
	go func() {
		defer close(attending)
		cancel(fmt.Errorf("the session that holds the relay's lanes ended: %w", s.attend(ctx, lanes)))
	}()
	err = s.relay(ctx, lanes, out)
	cancel(err)
	<-attending
	return context.Cause(ctx)
}

// notice lets the server find out within some 15 s that this machine has vanished,
// and free the lanes; by default it takes hours.
const notice = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3; "

// attend passes wake-ups on, and shares the lanes anew when another relay says that
// they changed, and from time to time: one that was killed says nothing.
func (s *Subscriber) attend(ctx context.Context, lanes *lanes) error {
	share := time.Now()
	for {
		if !time.Now().Before(share) {
			took, err := lanes.share(ctx)
			if err != nil {
				return err
			}
			if took {
				s.Wake() // their rows may wait
			}
			share = time.Now().Add(s.config.ShareInterval)
		}
		waiting, cancel := context.WithDeadline(ctx, share)
		notification, err := lanes.session.WaitForNotification(waiting)
		cancel()
		switch {
		case err == nil && notification.Payload == lanesChanged:
			share = time.Now()
		case err == nil:
			s.Wake()
		case ctx.Err() != nil:
			return ctx.Err()
		case !pgconn.Timeout(err) || lanes.session.IsClosed():
			return err
		}
	}
}

// relay drains the outbox whenever there is something in it.
func (s *Subscriber) relay(ctx context.Context, lanes *lanes, out chan<- *message.Message) error {
	outage := s.config.OutageDelay
	for ctx.Err() == nil {
		last, err := s.drain(ctx, lanes, out)
		switch {
		case err != nil:
			return err
		case last.away:
			s.pause(ctx, outage)
			outage = min(2*outage, 10*s.config.OutageDelay)
		default:
			outage = s.config.OutageDelay
			if len(last.failed) == 0 && !lanes.wanted() {
				s.idle(ctx)
			}
		}
	}
	return ctx.Err()
}

// drain hands over what is pending, until nothing is, the lanes are to be shared
// anew, an event has failed, or the transport is away: it returns how the last chunk
// ended where that is why. While a whole chunk is under way the next is read and the
// last one marked: with a backlog the three take place at a time. Without one they
// follow each other, but for the marks, which wait for more.
func (s *Subscriber) drain(ctx context.Context, lanes *lanes, out chan<- *message.Message) (last result, err error) {
	held := lanes.hold()
	defer lanes.release()
	if len(held) == 0 {
		return last, nil
	}
	m := &marks{subscriber: s, ctx: ctx}
	defer func() { err = errors.Join(err, m.finish()) }()
	rows, err := s.read(ctx, held)
	for more := true; more && err == nil; {
		if len(rows) == 0 {
			if more, err = m.linger(); more && err == nil && !lanes.wanted() {
				rows, err = s.read(ctx, held, m.rows()...)
				continue
			}
			return last, err
		}
		var reading *background[[]*row]
		if len(rows) == s.config.BatchSize && !lanes.wanted() {
			inHand := append(m.rows(), rows)
			reading = inBackground(func() ([]*row, error) { return s.read(ctx, held, inHand...) })
		}
		outcome := s.handOver(ctx, out, rows)
		next, readErr := reading.wait()
		err = errors.Join(readErr, m.add(outcome))
		if outcome.ended || outcome.away || len(outcome.failed) > 0 {
			// What was read ahead may have later events of a queue that has to wait.
			return outcome, err
		}
		rows = next
	}
	return last, err
}
