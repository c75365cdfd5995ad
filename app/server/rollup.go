package server

import (
	"context"
	"errors"
	"time"
)

const (
	// rollUpEvery is how often the lag of the last minute is rolled up, at most.
	rollUpEvery = 15 * time.Second
	// rollUpShare bounds the share of the time that rolling up may take: under load
	// it reads many rows, and it must not become part of the lag that it measures.
	rollUpShare = 0.01
	// lateEvery is how often the minutes before are rolled up anew, for lag that
	// became known late.
	lateEvery = 10 * time.Minute
)

// rollUpStage keeps event_lag_metrics up to date.
func (s *Server) rollUpStage() stage {
	return stage{name: "lag roll-up", run: func(ctx context.Context) error {
		var late time.Time
		for {
			start, again := time.Now(), time.Duration(0)
			if start.Sub(late) >= lateEvery {
				late, again = start, lateEvery
			}
			if err := s.views.RollUpLag(ctx, again); err != nil && !errors.Is(err, context.Canceled) {
				s.logger.WarnContext(ctx, "rolling up the lag failed; it is tried again", "Component", "ProjectionWorker", "error", err)
			}
			pause := time.NewTimer(max(rollUpEvery, time.Duration(float64(time.Since(start))/rollUpShare)))
			select {
			case <-ctx.Done():
				pause.Stop()
				return nil
			case <-pause.C:
			}
		}
	}}
}
