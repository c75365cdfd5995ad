package readmodel

import (
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/schema"
)

// processed is an event that projections have processed, as its row of
// event_processing_lag is told.
type processed struct {
	eventID     string
	publishedAt time.Time
}

// queueLag records that projections have processed events: one statement, unless
// the projections differ in what was new to them. Of the events that came, those
// that were new to none, as after a rebuild, get their lag unless it is known.
func queueLag(b *pgx.Batch, came []schema.Recorded, applied []Applied, now time.Time) {
	var all []string
	takers := map[string]uint64{} // by event id, one bit a projection
	for i, a := range applied {
		all = append(all, a.Projection.HandlerName())
		for _, e := range a.Events {
			takers[e.Metadata.EventID] |= 1 << i
		}
	}
	groups := map[uint64][]processed{}
	seen := make(map[string]bool, len(came))
	group := func(e schema.Recorded) {
		id := e.Metadata.EventID
		if seen[id] {
			return
		}
		seen[id] = true
		publishedAt := e.PublishedAt
		if publishedAt.IsZero() {
			publishedAt = now // read from the store: it never waited in the transport
		}
		groups[takers[id]] = append(groups[takers[id]], processed{id, publishedAt.UTC()})
	}
	for _, e := range came {
		group(e)
	}
	for _, a := range applied {
		for _, e := range a.Events {
			group(e)
		}
	}
	for set, events := range groups {
		handlers, condition := all, ""
		if set == 0 {
			condition = "AND projection_processed_at IS NULL"
		} else {
			handlers = chosen(all, set)
		}
		queueProcessed(b, events, handlers, now, condition)
	}
}

func chosen(handlers []string, set uint64) (some []string) {
	for i, h := range handlers {
		if set&(1<<i) != 0 {
			some = append(some, h)
		}
	}
	return some
}

// queueProcessed updates the lag of events that all of the handlers processed. Rows
// are locked in the order of their ids. With several projections a row tells about
// the slowest so far, and a failure stands until the handler that failed succeeds.
func queueProcessed(b *pgx.Batch, events []processed, handlers []string, now time.Time, condition string) {
	slices.SortFunc(events, func(a, b processed) int { return strings.Compare(a.eventID, b.eventID) })
	ids, published := make([]string, len(events)), make([]time.Time, len(events))
	for i, e := range events {
		ids[i], published[i] = e.eventID, e.publishedAt
	}
	b.Queue(`
		UPDATE event_processing_lag l
		SET event_published_at = coalesce(event_published_at, e.published_at),
		    outbox_dispatch_duration_ms = coalesce(outbox_dispatch_duration_ms,
		        greatest(0, extract(epoch FROM e.published_at - event_created_at) * 1000)),
		    projection_processed_at = greatest(projection_processed_at, $3),
		    projection_processing_duration_ms = greatest(0, extract(epoch FROM
		        greatest(projection_processed_at, $3) - coalesce(event_published_at, e.published_at)) * 1000),
		    status = CASE WHEN failed_in IS NULL OR failed_in = ANY($4) THEN 'PROCESSED' ELSE status END,
		    failed_in = CASE WHEN failed_in = ANY($4) THEN NULL ELSE failed_in END
		FROM unnest($1::text[]::uuid[], $2::timestamptz[]) AS e (event_id, published_at)
		WHERE l.event_id = e.event_id `+condition,
		ids, published, now.UTC(), handlers)
}
