package command

import (
	"context"
	"errors"

	"github.com/rlapp/rlapp/waitingroom"
)

// withoutAnswered settles the tasks whose requests were answered before, and
// commits the others: clients that ask again, as after an outage, do not break up
// the batches of all.
func (l *lane) withoutAnswered(ctx context.Context, tasks []*task) {
	rest, err := l.recall(ctx, tasks)
	switch {
	case err != nil:
		fail(tasks, err)
	case len(rest) == len(tasks):
		l.eachAlone(ctx, tasks)
	case len(rest) > 0:
		l.together(ctx, rest)
	}
}

// recall gives the tasks whose requests were answered before the same answer, and
// returns the others.
func (l *lane) recall(ctx context.Context, tasks []*task) (rest []*task, err error) {
	var keys []string
	for _, t := range tasks {
		if t.request != nil {
			keys = append(keys, t.request.Key)
		}
	}
	answers, err := l.store.Answers(ctx, keys...)
	if err != nil {
		return nil, err
	}
	for _, t := range tasks {
		if t.request == nil {
			rest = append(rest, t)
		} else if a, known := answers[t.request.Key]; known {
			t.appended, t.err = a.Outcome(*t.request)
		} else {
			rest = append(rest, t)
		}
	}
	return rest, nil
}

// refusals are the answers of the tasks that were refused, to be remembered where
// the client gave a key: if the state is certain, or becomes so when the changes of
// its queue are stored. Others are decided again.
func refusals(tasks, changing []*task, queues map[string]*state) []waitingroom.Change {
	changed := map[string]bool{}
	for _, t := range changing {
		changed[t.queueID] = true
	}
	var changes []waitingroom.Change
	for _, t := range tasks {
		var refusal *waitingroom.Error
		certain := queues[t.queueID].certain || changed[t.queueID]
		if t.request != nil && certain && errors.As(t.err, &refusal) {
			changes = append(changes, waitingroom.Change{QueueID: t.queueID, Cause: t.cause, Request: t.request, Refusal: refusal})
		}
	}
	return changes
}

func isKeyTaken(err error) bool {
	var taken *waitingroom.KeyTakenError
	return errors.As(err, &taken)
}
