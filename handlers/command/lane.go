package command

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/rlapp/rlapp/waitingroom"
)

// lane takes the commands of its queues in turn. Whoever finds the lane idle
// leads: it commits everything that waits in one transaction, and then hands the
// lead to the first who came meanwhile. So a lone command is committed at once,
// and under load many share a commit.
type lane struct {
	store  EventStore
	config Config
	away   *breaker
	cache  *cache // the leader's

	mu      sync.Mutex
	led     bool
	waiting []*task
}

// task is a command on its way through a lane.
type task struct {
	ctx     context.Context //nolint:containedctx // its sender's: a command that is no longer wanted is left out
	queueID string
	cause   waitingroom.Cause
	command waitingroom.Command
	// request is what the answer is remembered for; nil where the client gave no key.
	request *waitingroom.Request

	// turn is sent true to lead, false once the task is settled.
	turn     chan bool
	appended waitingroom.Appended
	err      error
}

// do returns when the task is settled.
func (l *lane) do(t *task) (waitingroom.Appended, error) {
	if err := l.away.refuse(); err != nil {
		return waitingroom.Appended{}, err
	}
	t.turn = make(chan bool, 1)
	leads, err := l.join(t)
	if err != nil {
		return waitingroom.Appended{}, err
	}
	if leads || <-t.turn {
		l.lead(t)
	}
	return t.appended, t.err
}

// join reports whether the task has to lead. It refuses where too many wait.
func (l *lane) join(t *task) (leads bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= max(1, l.config.MaxWaiting/l.config.Lanes) {
		return false, &UnavailableError{Reason: "too many commands wait for the event store"}
	}
	l.waiting = append(l.waiting, t)
	leads, l.led = !l.led, true
	return leads, nil
}

// length is how many tasks wait.
func (l *lane) length() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// lead settles what waits, the leader first, and hands the lead on.
func (l *lane) lead(leader *task) {
	tasks := l.take()
	l.settle(tasks)
	for _, t := range tasks {
		if t != leader {
			t.turn <- false
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.led = len(l.waiting) > 0; l.led {
		l.waiting[0].turn <- true
	}
}

// maxBatch bounds the commands that share a transaction, and with them its size.
const maxBatch = 256

func (l *lane) take() []*task {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), maxBatch)
	tasks := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	return tasks
}

// settle commits the tasks that are still wanted.
func (l *lane) settle(tasks []*task) {
	ctx, cancel := context.WithTimeout(context.Background(), l.config.CommitTimeout)
	defer cancel()
	if tasks = wanted(tasks); len(tasks) == 0 {
		return
	}
	if err := l.away.try(); err != nil {
		fail(tasks, err)
		return
	}
	// In the same order everywhere, so that two processes which write to the same
	// queues wait for one another and not each for the other.
	slices.SortStableFunc(tasks, func(a, b *task) int { return strings.Compare(a.queueID, b.queueID) })
	l.together(ctx, tasks)
	l.away.tried(outcome(tasks))
}

// outcome is the first failure that is no refusal.
func outcome(tasks []*task) error {
	for _, t := range tasks {
		var refusal *waitingroom.Error
		if t.err != nil && !errors.As(t.err, &refusal) {
			return t.err
		}
	}
	return nil
}

// together commits the tasks in one transaction, and where the store refuses
// that, each alone: one bad command never fails its neighbours.
func (l *lane) together(ctx context.Context, tasks []*task) {
	if len(tasks) == 1 {
		l.alone(ctx, tasks[0])
		return
	}
	err := l.commit(ctx, tasks)
	switch {
	case isKeyTaken(err):
		l.withoutAnswered(ctx, tasks)
	case isRolledBack(err), l.config.IsContended(err):
		l.eachAlone(ctx, tasks)
	default:
		fail(tasks, err)
	}
}

func (l *lane) eachAlone(ctx context.Context, tasks []*task) {
	for _, t := range tasks {
		l.alone(ctx, t)
	}
}

// wanted leaves out the tasks whose senders have left.
func wanted(tasks []*task) []*task {
	var rest []*task
	for _, t := range tasks {
		if err := t.ctx.Err(); err != nil {
			t.err = fmt.Errorf("wait for the queue's turn: %w", err)
			continue
		}
		rest = append(rest, t)
	}
	return rest
}

func fail(tasks []*task, err error) {
	if err == nil {
		return
	}
	for _, t := range tasks {
		t.err = err
	}
}

// alone commits one task. After a lost race it is decided anew, a bounded number
// of times.
func (l *lane) alone(ctx context.Context, t *task) {
	var err error
	for range l.config.MaxAttempts {
		err = l.commit(ctx, []*task{t})
		if isKeyTaken(err) {
			var rest []*task
			if rest, err = l.recall(ctx, []*task{t}); err == nil && len(rest) > 0 {
				continue // its answer has just been forgotten
			}
		}
		if !isConflict(err) && !l.config.IsContended(err) {
			fail([]*task{t}, err)
			return
		}
	}
	if l.config.IsContended(err) {
		t.err = &UnavailableError{Reason: "the event store gave the command up for the sake of others, again and again", Err: err}
		return
	}
	t.err = &waitingroom.Error{
		Code:    waitingroom.CodeConflict,
		Message: "the queue is being changed by too many requests at once; send the request again",
	}
}

// commit settles all tasks, or returns why it settled none. The queues are
// dropped from the cache then: what was speculated about them never happened.
func (l *lane) commit(ctx context.Context, tasks []*task) error {
	queues := map[string]*state{}
	err := l.attempt(ctx, tasks, queues)
	for id, s := range queues {
		if err != nil {
			l.cache.drop(id)
		} else {
			l.cache.put(id, s.queue)
		}
	}
	if err != nil {
		return err
	}
	doubtful := inDoubt(tasks, queues)
	for _, t := range doubtful {
		l.cache.doubt(t.queueID)
	}
	if len(doubtful) > 0 {
		l.together(ctx, doubtful)
	}
	return nil
}

// attempt decides the tasks and stores the outcome.
func (l *lane) attempt(ctx context.Context, tasks []*task, queues map[string]*state) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	if err := l.load(ctx, tasks, queues); err != nil {
		return err
	}
	return l.decide(ctx, tasks, queues)
}

func panicked(p any) error {
	return fmt.Errorf("panic while handling a command: %v\n%s", p, debug.Stack())
}

// state is a queue within one commit.
type state struct {
	queue *waitingroom.Queue
	// certain says that the store has confirmed this state in this commit: it was
	// read, or an append behind it succeeded.
	certain bool
}

// load finds the queues of the tasks, in the cache or, all at once, in the store.
func (l *lane) load(ctx context.Context, tasks []*task, queues map[string]*state) error {
	var behind []*waitingroom.Queue
	for _, t := range tasks {
		if queues[t.queueID] != nil {
			continue
		}
		queue, stale := l.cache.get(t.queueID)
		if queue == nil {
			queue, stale = waitingroom.NewQueue(t.queueID), true
		}
		if stale {
			behind = append(behind, queue)
		}
		queues[t.queueID] = &state{queue: queue, certain: stale}
	}
	if len(behind) == 0 {
		return nil
	}
	return l.store.Load(ctx, behind...)
}

// decide lets each task decide on what the earlier ones left, and stores the
// outcome in one transaction.
func (l *lane) decide(ctx context.Context, tasks []*task, queues map[string]*state) error {
	var changes []waitingroom.Change
	var changing []*task
	for _, t := range tasks {
		queue := queues[t.queueID].queue
		events := t.on(queue)
		if t.err != nil {
			continue
		}
		changes = append(changes, waitingroom.Change{QueueID: t.queueID, Expected: queue.Version(), Events: events, Cause: t.cause, Request: t.request})
		changing = append(changing, t)
		queue.Apply(events...)
	}
	l.addSnapshots(changes, queues)
	changes = append(changes, refusals(tasks, changing, queues)...)
	if len(changes) == 0 {
		return nil
	}
	appended, err := l.store.Append(ctx, changes...)
	if err != nil {
		return err
	}
	for i, t := range changing { // the refusals come behind
		t.appended = appended[i]
		if events := changes[i].Events; len(events) > 0 {
			t.appended.Last = events[len(events)-1]
		}
		queues[t.queueID].certain = true
	}
	return nil
}

// addSnapshots adds a snapshot to the last change of each queue that is due.
func (l *lane) addSnapshots(changes []waitingroom.Change, queues map[string]*state) {
	for i := len(changes) - 1; i >= 0; i-- {
		if queue := queues[changes[i].QueueID].queue; queue.SnapshotDue(l.config.SnapshotEvery) {
			snapshot := queue.Snapshot()
			changes[i].Snapshot = &snapshot
		}
	}
}

// inDoubt returns the tasks that were refused by a state which may be old.
func inDoubt(tasks []*task, queues map[string]*state) []*task {
	var doubtful []*task
	for _, t := range tasks {
		if t.err != nil && !queues[t.queueID].certain {
			doubtful = append(doubtful, t)
		}
	}
	return doubtful
}

// on lets the task decide. A panic is the task's own failure.
func (t *task) on(queue *waitingroom.Queue) (events []waitingroom.Event) {
	defer func() {
		if p := recover(); p != nil {
			t.err = panicked(p)
		}
	}()
	events, t.err = queue.Decide(t.command)
	return events
}

func isConflict(err error) bool {
	var refusal *waitingroom.Error
	return errors.As(err, &refusal) && refusal.Code == waitingroom.CodeConflict
}

// isRolledBack reports whether the store is certain that nothing was written.
func isRolledBack(err error) bool {
	var rolledBack *waitingroom.RolledBackError
	return isConflict(err) || errors.As(err, &rolledBack)
}
