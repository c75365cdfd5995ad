package catchup

import (
	"context"
	"time"
)

const (
	// SettledAfter is how long after an event was seen all events with lower positions
	// are visible: positions are given before a commit, which a transaction of ours
	// reaches within ten seconds (command.Config.CommitTimeout) or not at all.
	SettledAfter = 17 * time.Second
	// soon is the least pause before the next look, and later the longest.
	soon  = 3 * time.Second
	later = 6 * time.Second
	// Within is how long after its commit, or the loop's start, an event is looked at, at the
	// latest, but for how long looks take: it is seen after one pause, and a look may come
	// another one after it has settled.
	Within = later + SettledAfter + soon
)

// Loop looks at the event store again and again. What the clocks say, and said when events
// were stored, does not matter to it. It is used by one goroutine.
type Loop struct {
	// Look brings somebody the events up to a position that they lack: all events up to it
	// are visible. It returns the position of the store's last event, 0 where it is not
	// known. Required.
	Look func(ctx context.Context, settled int64) (newest int64, err error)
	// Clock is a monotonic one. Default: time.Now.
	Clock func() time.Time

	seen []sighting // the last that has settled, and what came since
}

// sighting is the position of the store's last event at a moment.
type sighting struct {
	at       time.Time
	position int64
}

// Run looks until ctx ends. failed is told of each look that failed; it is made again.
func (l *Loop) Run(ctx context.Context, failed func(error)) error {
	for {
		pause, err := l.Once(ctx)
		if err != nil && ctx.Err() == nil {
			failed(err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// Once looks once and returns when to look again, and the error of Look.
func (l *Loop) Once(ctx context.Context) (pause time.Duration, err error) {
	newest, err := l.Look(ctx, l.settled())
	l.see(newest)
	if err != nil {
		return soon, err
	}
	return l.pause(), nil
}

// settled is the position up to which all events are visible.
func (l *Loop) settled() int64 {
	for len(l.seen) > 1 && l.hasSettled(l.seen[1]) {
		l.seen = l.seen[1:]
	}
	if len(l.seen) == 0 || !l.hasSettled(l.seen[0]) {
		return 0
	}
	return l.seen[0].position
}

func (l *Loop) hasSettled(s sighting) bool { return l.Now().Sub(s.at) >= SettledAfter }

// Now is what the clock says.
func (l *Loop) Now() time.Time {
	if l.Clock == nil {
		return time.Now()
	}
	return l.Clock()
}

// see notes the store's last event, where it is a new one.
func (l *Loop) see(position int64) {
	if n := len(l.seen); position > 0 && (n == 0 || l.seen[n-1].position != position) {
		l.seen = append(l.seen, sighting{l.Now(), position})
	}
}

// pause is the time until the next event settles, in equal parts where that is long: a
// look just before it would cost another pause.
func (l *Loop) pause() time.Duration {
	for _, s := range l.seen {
		if l.hasSettled(s) {
			continue
		}
		left := SettledAfter - l.Now().Sub(s.at)
		parts := (left + later - 1) / later
		return max(soon, left/parts)
	}
	return later
}
