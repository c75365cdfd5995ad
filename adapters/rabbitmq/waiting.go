package rabbitmq

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Waiting returns how many messages wait in the queue of a consumer group at
// Config.Exchange; those that consumers have at hand are not among them. It returns
// *UnavailableError where the broker cannot be asked or has an alarm, the broker's
// refusal without the queue, and ErrClosed after Close. A broker that does not answer within
// Config.ConfirmTimeout is given up as silent.
func (p *Publisher) Waiting(ctx context.Context, group string) (messages int, err error) {
	if !p.begin() {
		return 0, ErrClosed
	}
	defer p.calls.Done()
	s, err := p.conn.session(ctx)
	if err != nil {
		return 0, unavailable(err)
	}
	if err := s.blockedError(); err != nil {
		return 0, unavailable(err)
	}
	defer s.guard(time.Now().Add(p.config.ConfirmTimeout))()
	err = s.setUp(func(ch *amqp.Channel) error {
		queue, err := ch.QueueDeclarePassive(QueueName(p.config.Exchange, group), true, false, false, false, nil)
		messages = queue.Messages
		return err
	})
	return messages, err
}
