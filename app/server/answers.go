package server

import (
	"context"
	"errors"
	"time"

	"github.com/rlapp/rlapp/adapters/postgres"
)

// forgetEvery is how often answers are looked for that have been kept long enough.
const forgetEvery = 10 * time.Minute

// answersStage forgets the answers to old requests.
func (s *Server) answersStage(store *postgres.EventStore) stage {
	return stage{name: "idempotency keys", run: func(ctx context.Context) error {
		ticker := time.NewTicker(forgetEvery)
		defer ticker.Stop()
		for {
			if _, err := store.ForgetAnswers(ctx); err != nil && !errors.Is(err, context.Canceled) {
				s.logger.WarnContext(ctx, "forgetting old answers failed; it is tried again", "Component", "API", "error", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
		}
	}}
}
