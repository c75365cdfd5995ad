package main

import (
	"context"
	"errors"
	"time"
)

// blackHole lets nothing through in one direction, and ends the connections when it is
// taken off.
func blackHole(stream string) toxic {
	return toxic{Type: "timeout", Stream: stream, Attributes: map[string]any{"timeout": 0}}
}

func kills() []fault {
	return []fault{
		{
			name: "kill-api-before-commit", what: "kill -9 of the API while its transaction waits for a lock",
			strike: killHeld("api", "waiting_room_events"), evidence: askedAgain,
		},
		{
			name: "kill-api-after-commit", what: "kill -9 of the API after the commit, whose answer has not come back",
			strike: killCut("api", "api-postgres", "downstream"), evidence: answeredAgain,
		},
		{
			name: "kill-relay-before-mark", what: "kill -9 of the relay after the broker's confirm, while its mark waits for a lock",
			strike: killHeld("worker", "waiting_room_outbox"), evidence: deliveredAgain,
		},
		{
			name: "kill-projection-before-commit", what: "kill -9 of the projections while their transaction waits for a lock",
			strike: killHeld("projections", "waiting_queue_view"), evidence: hits("session that waited"), unnoticed: true,
		},
		{
			name: "kill-projection-before-ack", what: "kill -9 of the projections after the commit, whose acknowledgements do not get out",
			strike: killCut("projections", "projections-rabbitmq", "upstream"), evidence: deliveredAgain, unnoticed: true,
		},
		{
			name: "kill-postgres", what: "kill -9 of PostgreSQL", lasts: time.Second, evidence: askedAgain,
			strike: func(ctx context.Context, s *strike) error {
				if err := s.database.Kill(); err != nil {
					return err
				}
				return s.during(ctx, func() error { return s.database.Restart(ctx) })
			},
		},
		{
			name: "kill-rabbitmq", what: "kill -9 of RabbitMQ", lasts: time.Second, evidence: heldUp, unnoticed: true,
			strike: func(ctx context.Context, s *strike) error {
				if err := s.broker.Kill(); err != nil {
					return err
				}
				return s.during(ctx, func() error { return s.broker.Restart(ctx) })
			},
		},
	}
}

// killHeld kills a process while it waits for a table.
func killHeld(role, table string) func(context.Context, *strike) error {
	return func(ctx context.Context, s *strike) error {
		release, err := s.holdUp(ctx, role, table)
		if err != nil {
			return err
		}
		s.hit(1)
		// The session of a process that is gone would go on once it has the lock.
		endSessions := func() error {
			return s.exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", "rlapp-"+role)
		}
		if err := errors.Join(s.kill(role), endSessions(), release()); err != nil {
			return err
		}
		return s.restart(ctx, role)
	}
}

// holdUp locks a table and returns once a process waits for it. A lock that comes when
// the process has nothing to write keeps away what it would write: then the next one
// has another moment.
func (s *system) holdUp(ctx context.Context, role, table string) (release func() error, err error) {
	for range 10 {
		if release, err = s.hold(ctx, table); err != nil {
			return nil, err
		}
		if err = s.waiting(ctx, "rlapp-"+role); err == nil {
			return release, nil
		}
		if err := release(); err != nil {
			return nil, err
		}
		pause(ctx, 37*time.Millisecond)
	}
	return nil, err
}

// cutFor is how long a link is cut before the process behind it is killed: work goes
// on for a moment, and its outcome does not get through.
const cutFor = 200 * time.Millisecond

// killCut kills a process after one direction of a link was cut.
func killCut(role, link, stream string) func(context.Context, *strike) error {
	return func(ctx context.Context, s *strike) error {
		heal, err := s.poisonLink(link, blackHole(stream))
		if err != nil {
			return err
		}
		pause(ctx, cutFor)
		if err := errors.Join(s.kill(role), heal()); err != nil {
			return err
		}
		return s.restart(ctx, role)
	}
}
