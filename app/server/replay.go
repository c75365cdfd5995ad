package server

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/handlers/poison"
	"github.com/rlapp/rlapp/handlers/projection"
)

// lookForReplays is how often replays are looked for that operators ordered.
const lookForReplays = 10 * time.Second

// replayStage hands poisoned messages to their handlers again when an operator has
// ordered it, at most Projections__ReplaysPerSecond in a second, so that a handler
// that fails again, or what it calls, is not run over.
func (s *Server) replayStage(t *transport) stage {
	store, limit := postgres.NewPoisonStore(s.pool), s.config.Projections.ReplaysPerSecond
	send := func(handler string, msg *message.Message) error { return t.hand(projection.QueueOf(handler), msg) }
	return stage{name: "poison replay", run: func(ctx context.Context) error {
		for {
			sent, err := store.Replay(ctx, limit, send)
			if err != nil && !errors.Is(err, context.Canceled) {
				s.logger.WarnContext(ctx, "replaying poisoned messages failed; it is tried again", "Component", "ProjectionWorker", "error", err)
			}
			pause := lookForReplays
			if sent > 0 {
				s.logger.InfoContext(ctx, "poisoned messages were handed to their handlers again", "Component", "ProjectionWorker", "messages", sent)
				pause = time.Second // more may be ordered
			}
			timer := time.NewTimer(pause)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C:
			}
		}
	}}
}

// rehearsals are those of all handlers that this build has, also where another process
// runs them.
func (s *Server) rehearsals() poison.Rehearsals {
	all := projection.Rehearsals(s.views)
	maps.Copy(all, plugin.Rehearsals(s.plugins, postgres.NewHandledEvents(s.pool)))
	return all
}
