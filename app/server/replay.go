package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/handlers/poison"
	"github.com/rlapp/rlapp/handlers/projection"
)

// lookForReplays is how often replays are looked for that operators ordered. Tests do not
// wait so long.
var lookForReplays = 10 * time.Second

// unknownHandlerError says that no handler of a name is in this build.
type unknownHandlerError struct{ handler string }

func (e *unknownHandlerError) Error() string {
	return fmt.Sprintf("this build has no handler %q", e.handler)
}

// replayStage hands poisoned messages to their handlers again when an operator has
// ordered it, at most Projections__ReplaysPerSecond in a second, whichever process does
// it, so that a handler that fails again, or what it calls, is not run over.
func (s *Server) replayStage(t *transport) stage {
	store, limit := postgres.NewPoisonStore(s.pool), s.config.Projections.ReplaysPerSecond
	send := func(handler string, msg *message.Message) error {
		queue := projection.QueueOf(handler)
		if !slices.ContainsFunc(s.queues(), func(q plugin.Queue) bool { return q.Handler == queue }) {
			return &unknownHandlerError{handler}
		}
		return t.hand(queue, msg)
	}
	hopeless := func(err error) bool {
		var unknown *unknownHandlerError
		return errors.As(err, &unknown) || t.hopeless(err)
	}
	return stage{name: "poison replay", run: func(ctx context.Context) error {
		for {
			sent, err := store.Replay(ctx, limit, send, hopeless)
			if err != nil && !errors.Is(err, context.Canceled) {
				s.logger.WarnContext(ctx, "poisoned messages could not be replayed; those that never can wait for a person again, others are tried again",
					"Component", "ProjectionWorker", "error", err)
			}
			if sent > 0 {
				s.logger.InfoContext(ctx, "poisoned messages were handed to their handlers again", "Component", "ProjectionWorker", "messages", sent)
				continue // more may be ordered
			}
			timer := time.NewTimer(lookForReplays)
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
