package rabbitmq

import (
	"context"
	"errors"
)

// Ping reports whether the broker takes messages, for health checks. It connects
// where there is no connection. It returns *UnavailableError where that fails or
// the broker has an alarm, and ErrClosed after Close.
func (p *Publisher) Ping(ctx context.Context) error {
	s, err := p.conn.session(ctx)
	if errors.Is(err, ErrClosed) {
		return err
	}
	if err != nil {
		return &UnavailableError{Err: err}
	}
	if err := s.blockedError(); err != nil {
		return &UnavailableError{Err: err}
	}
	return nil
}
