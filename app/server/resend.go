package server

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/rabbitmq"
	"github.com/rlapp/rlapp/app/server/config"
	"github.com/rlapp/rlapp/handlers/plugin"
)

// ResendOrder says what Resend does.
type ResendOrder struct {
	// Handler is a plugin's handler by its full name, "plugin.<plugin>.<handler>".
	Handler string
	// Since and Until bound when the events were stored; Until is not among it.
	Since, Until time.Time
	// DryRun counts only.
	DryRun bool
	Who    postgres.Operator
}

// ResendError says that Resend was broken off.
type ResendError struct {
	// Sent is how many events were sent, the last of them stored at Reached.
	Sent    int64
	Reached time.Time
	Err     error
}

func (e *ResendError) Error() string {
	return fmt.Sprintf("%d events were sent; go on with --since %s: %v", e.Sent, e.Reached.UTC().Format(time.RFC3339Nano), e.Err)
}

func (e *ResendError) Unwrap() error { return e.Err }

// Resend sends stored events to one plugin's handler once more, and to no other, and
// returns how many there were, for one that did the wrong thing and is mended. It is
// recorded. The handler gets them behind what is in its queue, and those that it has had
// come again. Archived events, of visits that ended long ago, are not
// among them. It returns an error for a handler that this build does not have, or
// *ResendError.
func Resend(ctx context.Context, c config.Config, logger *slog.Logger, plugins []plugin.Plugin, order ResendOrder) (events int64, err error) {
	queue, err := queueOf(order.Handler, plugins)
	if err != nil {
		return 0, err
	}
	publisher, err := rabbitmq.NewPublisher(logger, publishing(c, []plugin.Queue{queue}))
	if err != nil {
		return 0, fmt.Errorf("configure the RabbitMQ publisher: %w", err)
	}
	defer func() { _ = publisher.Close() }()
	send := func(messages ...*message.Message) error { return publisher.Hand(queue.Handler, messages...) }
	return events, withPool(ctx, c, func(pool *pgxpool.Pool) error {
		store := postgres.NewEventStore(pool, postgres.EventStoreConfig{})
		events, err = resend(ctx, store, order, queue.EventName, send)
		return err
	})
}

func resend(
	ctx context.Context, store *postgres.EventStore, order ResendOrder, eventName string, send func(...*message.Message) error,
) (int64, error) {
	r := postgres.Resend{Handler: order.Handler, EventName: eventName, Since: order.Since, Until: order.Until}
	if order.DryRun {
		return store.CountResend(ctx, r)
	}
	sent, reached, err := store.Resend(ctx, r, order.Who, send)
	if err != nil {
		return sent, &ResendError{Sent: sent, Reached: reached, Err: err}
	}
	return sent, nil
}

func queueOf(handler string, plugins []plugin.Plugin) (plugin.Queue, error) {
	queues := plugin.Queues(plugins)
	var names []string
	for _, q := range queues {
		names = append(names, q.Handler)
	}
	if i := slices.Index(names, handler); i >= 0 {
		return queues[i], nil
	}
	return plugin.Queue{}, fmt.Errorf("this build has no plugin's handler %q; it has %s", handler, strings.Join(names, ", "))
}
