package plugin

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// Plugin is one team's set of handlers.
type Plugin struct {
	// Name is the team's or the feature's name: a lower-case letter, then up to 40
	// lower-case letters, digits and dashes. With a handler's name it names the queue,
	// so it is public API: a renamed plugin starts with an empty queue, and the old one
	// fills up.
	Name string
	// Handlers are made with On and OnTx, at least one. Their names have the form of
	// Name and are public API as well.
	Handlers []Handler
}

// Handler reacts to one kind of event. On and OnTx make it.
type Handler struct {
	name  string
	event string
	// One of both is there.
	handle   func(ctx context.Context, e schema.Recorded) error
	handleTx func(ctx context.Context, tx pgx.Tx, e schema.Recorded) error
}

// On makes a handler of a function that takes one kind of event.
//
// The function is called at least once for each event, in order for each queue
// of patients, one at a time: after a crash an event may come again, so what it
// does must bear repeating; Metadata.EventID tells the same event. An error is
// retried, and after Config.MaxRetries the event is set aside for a person and
// the next one comes.
//
// ctx has no deadline, and a call that hangs holds the queue up: give it one of its own.
// When the process stops, the event in hand may be finished, over RabbitMQ within
// rabbitmq.Config.CloseTimeout; then ctx ends, and the event comes again. That is why an
// error that wraps context.Canceled is never set aside: the event comes again, for ever,
// and holds up what is behind it. So do not return the cancellation of a context of your
// own as it is; the end of its deadline, context.DeadlineExceeded, is an error like others.
func On[E schema.Event](name string, handle func(ctx context.Context, e E, m schema.Metadata) error) Handler {
	var zero E
	return Handler{name: name, event: zero.EventName(), handle: func(ctx context.Context, r schema.Recorded) error {
		e, ok := r.Event.(E)
		if !ok {
			return nil // another kind of event: the in-process transport hands everything to everyone
		}
		return handle(ctx, e, r.Metadata)
	}}
}

// OnTx makes a handler whose work is rows in RLAPP's database: what it does by tx is
// committed together with a mark that it was done, so its effect is there exactly once,
// however often the event comes. It can be rehearsed on events that it gave up. While
// the database is away, or gives the transaction up for the sake of others, the event
// comes again and is not set aside.
//
// The function must not end tx. What it does elsewhere is as with On, and so are ctx and
// errors, but for a deadline of its own that ends a statement of tx: that looks like a
// database that is away.
func OnTx[E schema.Event](name string, handle func(ctx context.Context, tx pgx.Tx, e E, m schema.Metadata) error) Handler {
	var zero E
	return Handler{name: name, event: zero.EventName(), handleTx: func(ctx context.Context, tx pgx.Tx, r schema.Recorded) error {
		e, ok := r.Event.(E)
		if !ok {
			return nil
		}
		return handle(ctx, tx, e, r.Metadata)
	}}
}

// Queue is what a handler needs of a transport.
type Queue struct {
	// Handler is the handler's full name, "plugin.<plugin>.<handler>": its name in
	// the router, in metrics and of its queue.
	Handler string
	// EventName is the kind of event that a plugin's handler takes.
	EventName string
	// BindingKeys are the routing keys of the events that the queue takes.
	BindingKeys []string
	// MaxInFlight is how many messages the handler takes at a time, in any order.
	// Default: 1, one after another.
	MaxInFlight int
}

// Queues lists the queues of plugins, so that they can be made before the first
// event is published.
func Queues(plugins []Plugin) []Queue {
	var queues []Queue
	for _, p := range plugins {
		for _, h := range p.Handlers {
			queues = append(queues, p.queue(h))
		}
	}
	return queues
}

func (p Plugin) queue(h Handler) Queue {
	return Queue{Handler: "plugin." + p.Name + "." + h.name, EventName: h.event, BindingKeys: []string{h.event + ".*"}}
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)

// Validate returns every mistake in the plugins at once, joined, or nil: names that are
// not usable, handlers of one plugin and name, handlers that On or OnTx did not make, and
// plugins without handlers.
func Validate(plugins []Plugin) error {
	var errs []error
	seen := map[string]bool{}
	for _, p := range plugins {
		if !validName.MatchString(p.Name) {
			errs = append(errs, fmt.Errorf("plugin %q: a name has lower-case letters, digits and dashes, up to 41", p.Name))
		}
		if len(p.Handlers) == 0 {
			errs = append(errs, fmt.Errorf("plugin %q has no handlers", p.Name))
		}
		for _, h := range p.Handlers {
			name := p.queue(h).Handler
			switch {
			case h.handle == nil && h.handleTx == nil:
				errs = append(errs, fmt.Errorf("plugin %q: a handler is made with On or OnTx", p.Name))
			case !validName.MatchString(h.name):
				errs = append(errs, fmt.Errorf("plugin %q, handler %q: a name has lower-case letters, digits and dashes, up to 41", p.Name, h.name))
			case seen[name]:
				errs = append(errs, fmt.Errorf("handler %s is there twice; give one another name", name))
			}
			seen[name] = true
		}
	}
	return errors.Join(errs...)
}
