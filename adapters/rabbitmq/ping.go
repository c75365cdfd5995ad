package rabbitmq

import "context"

// Ping reports whether the broker can be reached, for health checks. It connects
// where there is no connection, and returns *UnavailableError where that fails.
func (p *Publisher) Ping(ctx context.Context) error {
	if _, err := p.conn.session(ctx); err != nil {
		return &UnavailableError{Err: err}
	}
	return nil
}
