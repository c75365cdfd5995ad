package server

import (
	"context"

	"github.com/rlapp/rlapp/adapters/outbox"
	"github.com/rlapp/rlapp/adapters/postgres"
)

// newRetention archives and prunes by schedule and when an operator asks. The relay
// prunes the outbox on its own beside it.
func (s *Server) newRetention() (*postgres.Retention, error) {
	c := s.config.Retention
	config := postgres.RetentionConfig{ArchiveAfter: c.ArchiveAfter(), LagKept: c.Lag(), PoisonKept: c.Poison(), Every: c.Interval()}
	if kept := s.config.OutboxDispatcher.Retention(); kept > 0 {
		pruner, err := outbox.NewPruner(s.pool, s.logger, kept, nil)
		if err != nil {
			return nil, err
		}
		config.PruneOutbox = func(ctx context.Context) (int64, error) { return pruner.Prune(ctx) }
	}
	return postgres.NewRetention(s.pool, s.logger, config), nil
}
