package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"slices"

	wamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	amqp "github.com/rabbitmq/amqp091-go"
)

// window is how many messages are on their way before their confirms are
// awaited. It bounds the memory for returned messages; beyond some hundreds more
// gain nothing (BenchmarkPublish).
const window = 1024

// sender is a channel in confirm mode. It serves one call at a time, so every
// confirm and return it gets is about that call.
type sender struct {
	session *session
	channel *amqp.Channel
	// returns has room for a whole window: the client library would hold up the
	// connection for a full one.
	returns chan amqp.Return
	closed  chan *amqp.Error
}

func newSender(session *session) (*sender, error) {
	s := &sender{
		session: session,
		returns: make(chan amqp.Return, window),
		closed:  make(chan *amqp.Error, 1),
	}
	var err error
	s.channel, err = session.open(func(ch *amqp.Channel) error { return ch.Confirm(false) })
	if err != nil {
		return nil, err
	}
	s.channel.NotifyReturn(s.returns)
	s.channel.NotifyClose(s.closed)
	return s, nil
}

// outcome is what the broker said about the messages of a call.
type outcome struct {
	unroutable, nacked     []string
	whyReturned, whyNacked string
}

func (o *outcome) err() error {
	var errs []error
	if len(o.unroutable) > 0 {
		errs = append(errs, &UnroutableError{MessageUUIDs: o.unroutable, Reason: o.whyReturned})
	}
	if len(o.nacked) > 0 {
		errs = append(errs, &NackedError{MessageUUIDs: o.nacked, Reason: o.whyNacked})
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// send publishes the parcels in order and waits for what becomes of them. After
// an error the sender is of no more use.
func (s *sender) send(ctx context.Context, exchange string, parcels []parcel) (*outcome, error) {
	result := &outcome{}
	for some := range slices.Chunk(parcels, window) {
		confirms, err := s.transmit(ctx, exchange, some)
		if err != nil {
			return nil, err
		}
		if err := s.await(ctx, some, confirms, result); err != nil {
			return nil, err
		}
		s.collectReturns(some, result)
	}
	return result, nil
}

// transmit writes the parcels without waiting for their confirms.
func (s *sender) transmit(
	ctx context.Context, exchange string, parcels []parcel,
) ([]*amqp.DeferredConfirmation, error) {
	deadline, _ := ctx.Deadline()
	defer s.session.guard(deadline)()
	confirms := make([]*amqp.DeferredConfirmation, len(parcels))
	for i, p := range parcels {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := s.session.blockedError(); err != nil {
			return nil, err
		}
		var err error
		confirms[i], err = s.channel.PublishWithDeferredConfirm(exchange, p.key, true, false, p.publishing)
		if err != nil {
			return nil, s.explain(err)
		}
	}
	return confirms, nil
}

// await collects the confirms.
func (s *sender) await(
	ctx context.Context, parcels []parcel, confirms []*amqp.DeferredConfirmation, result *outcome,
) error {
	for i, confirm := range confirms {
		select {
		case <-confirm.Done():
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), s.session.blockedError())
		}
		if confirm.Acked() {
			continue
		}
		// The library also ends the confirms of a lost channel so.
		if s.channel.IsClosed() {
			return s.explain(amqp.ErrClosed)
		}
		result.nacked = append(result.nacked, parcels[i].uuid)
	}
	return nil
}

// collectReturns notes the messages that came back. The broker sends a return
// before the confirm of the same message, so after the confirms all are here.
func (s *sender) collectReturns(parcels []parcel, result *outcome) {
	returned := map[string]bool{}
	for len(s.returns) > 0 {
		r := <-s.returns
		id, _ := r.Headers[wamqp.DefaultMessageUUIDHeaderKey].(string)
		returned[id] = true
		if result.whyReturned == "" {
			result.whyReturned = fmt.Sprintf("%s: no queue of exchange %s takes %s", r.ReplyText, r.Exchange, r.RoutingKey)
		}
	}
	if len(returned) == 0 {
		return
	}
	for _, p := range parcels {
		if returned[p.uuid] {
			result.unroutable = append(result.unroutable, p.uuid)
		}
	}
}

// explain adds the reason that the broker gave for closing the channel.
func (s *sender) explain(err error) error {
	if !s.channel.IsClosed() {
		return err
	}
	if why := <-s.closed; why != nil {
		return fmt.Errorf("the channel was closed: %w", why)
	}
	return err
}
