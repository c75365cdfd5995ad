package readmodel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/schema"
)

// Applied is what one projection took of a batch.
type Applied struct {
	Projection Projection
	// Events are those that were new to the projection, by queue and version: also
	// the ones that were read from the event store, whose PublishedAt is zero.
	Events []schema.Recorded
}

// Apply brings projections, all unless some are given, to the state after events,
// in one transaction with their checkpoints and the lag, and in two round trips.
//
// The events may be of many queues, in any order. One that a projection has seen
// changes nothing in it, and those that are missing before one are read from the
// event store: so duplicates, reordering and lost messages all heal.
//
// It returns what was new to each projection. It applies all or nothing: it
// returns *GapError, *RebuildingError, or pgx's errors where the database fails or
// a view refuses an event; ApplyEach finds out which.
func (s *Store) Apply(ctx context.Context, events []schema.Recorded, projections ...Projection) ([]Applied, error) {
	if len(projections) == 0 {
		projections = Projections()
	}
	if len(events) == 0 {
		return nil, nil
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("apply %d events: %w", len(events), err)
	}
	defer conn.Release()
	applied, err := apply(ctx, conn, events, projections, "COMMIT")
	if err != nil {
		rollBack(ctx, conn)
		return nil, fmt.Errorf("apply %s: %w", describe(events), err)
	}
	return applied, nil
}

// ApplyEach does the same for as many of the events as can be applied. What fails
// as a whole is halved, and an event that fails on its own is applied to each
// projection in a transaction of its own, so that it holds back its queue only
// where it fails.
//
// The errors are those of the events, by index: nil, or *ProjectionError joined
// for each projection that failed. Where nothing can be applied, as while the
// database is away, all events have that error. An event that was given up for the
// sake of others has the database's error alone (Contended).
func (s *Store) ApplyEach(ctx context.Context, events []schema.Recorded) ([]Applied, []error) {
	order := make([]int, len(events))
	for i := range order {
		order[i] = i
	}
	// A queue's events stay together, and in order, on both sides of a cut.
	slices.SortStableFunc(order, func(a, b int) int { return byQueueAndVersion(events[a], events[b]) })
	sorted := make([]schema.Recorded, len(events))
	for i, at := range order {
		sorted[i] = events[at]
	}
	applied, failures := s.halve(ctx, sorted)
	errs := make([]error, len(events))
	for i, at := range order {
		errs[at] = failures[i]
	}
	return applied, errs
}

func (s *Store) halve(ctx context.Context, events []schema.Recorded) ([]Applied, []error) {
	applied, err := s.Apply(ctx, events)
	if err == nil {
		return applied, make([]error, len(events))
	}
	if nothingHelps(ctx, err) {
		return nil, slices.Repeat([]error{err}, len(events))
	}
	if len(events) == 1 {
		applied, err := s.applyApart(ctx, events)
		return applied, []error{err}
	}
	middle := len(events) / 2
	first, firstErrs := s.halve(ctx, events[:middle])
	second, secondErrs := s.halve(ctx, events[middle:])
	return append(first, second...), append(firstErrs, secondErrs...)
}

// nothingHelps says that an error is not about single events.
func nothingHelps(ctx context.Context, err error) bool {
	var rebuilding *RebuildingError
	return ctx.Err() != nil || errors.As(err, &rebuilding) || Unavailable(err)
}

// applyApart applies an event to each projection apart from the others. What one of
// them lost to others tells nothing about the event, and is the outcome then.
func (s *Store) applyApart(ctx context.Context, event []schema.Recorded) (applied []Applied, err error) {
	var errs []error
	var contended error
	for _, p := range Projections() {
		one, err := s.Apply(ctx, event, p)
		applied = append(applied, one...)
		switch {
		case err == nil:
		case nothingHelps(ctx, err):
			return applied, err
		case Contended(err):
			contended = err
		default:
			errs = append(errs, &ProjectionError{ProjectionID: p.ID, Err: err})
		}
	}
	if contended != nil {
		return applied, contended
	}
	return applied, errors.Join(errs...)
}

// Rehearse applies an event to a projection as Apply does, and rolls it back: it
// returns what Apply would return. Until then it holds the event's queue up.
func (s *Store) Rehearse(ctx context.Context, p Projection, event schema.Recorded) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("rehearse an event: %w", err)
	}
	defer conn.Release()
	events := []schema.Recorded{event}
	if _, err := apply(ctx, conn, events, []Projection{p}, "ROLLBACK"); err != nil {
		rollBack(ctx, conn)
		return fmt.Errorf("apply %s: %w", describe(events), err)
	}
	return nil
}

// apply ends its transaction by a statement, and leaves it open where it fails.
func apply(ctx context.Context, conn *pgxpool.Conn, events []schema.Recorded, projections []Projection, end string) ([]Applied, error) {
	events = slices.Clone(events)
	slices.SortStableFunc(events, byQueueAndVersion)
	versions, err := lockVersions(ctx, conn, queuesOf(events), projections)
	if err != nil {
		return nil, err
	}
	stream, err := withoutGaps(ctx, conn, events, versions, projections)
	if err != nil {
		return nil, err
	}
	applied := make([]Applied, 0, len(projections))
	for _, p := range projections {
		applied = append(applied, Applied{Projection: p, Events: versions.fresh(p, stream)})
	}
	batch := &pgx.Batch{}
	for _, a := range applied {
		if len(a.Events) > 0 {
			a.Projection.apply(batch, a.Events)
		}
	}
	queueVersions(batch, applied)
	queueCheckpoints(batch, applied)
	queueLag(batch, events, applied, time.Now())
	batch.Queue(end)
	return applied, conn.SendBatch(ctx, batch).Close()
}

// rollBack ends the transaction of a connection, unless the connection is lost. It
// has some time although ctx may be what ended.
func rollBack(ctx context.Context, conn *pgxpool.Conn) {
	if conn.Conn().IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = conn.Exec(ctx, "ROLLBACK") // where it fails the pool throws the connection away
}

func byQueueAndVersion(a, b schema.Recorded) int {
	if c := cmp.Compare(a.Metadata.AggregateID, b.Metadata.AggregateID); c != 0 {
		return c
	}
	return cmp.Compare(a.Metadata.Version, b.Metadata.Version)
}

// queuesOf lists the queues of sorted events.
func queuesOf(events []schema.Recorded) (ids []string) {
	for i, e := range events {
		if i == 0 || e.Metadata.AggregateID != events[i-1].Metadata.AggregateID {
			ids = append(ids, e.Metadata.AggregateID)
		}
	}
	return ids
}

func describe(events []schema.Recorded) string {
	if len(events) > 1 {
		return fmt.Sprintf("%d events", len(events))
	}
	e := events[0]
	return fmt.Sprintf("%s %d of queue %q", e.Event.EventName(), e.Metadata.Version, e.Metadata.AggregateID)
}

// withoutGaps returns the events without duplicates and with those that are missing
// between what a projection has and what has come, which it reads from the event
// store. The given events are sorted, and so is what it returns.
func withoutGaps(
	ctx context.Context, conn *pgxpool.Conn, events []schema.Recorded, versions versions, projections []Projection,
) ([]schema.Recorded, error) {
	var (
		stream []schema.Recorded
		gaps   []GapError
		queue  string
		next   int64
	)
	for i, e := range events {
		m := e.Metadata
		if i == 0 || m.AggregateID != queue {
			queue, next = m.AggregateID, versions.lowest(m.AggregateID, projections)+1
		}
		if m.Version < next {
			continue
		}
		if m.Version > next {
			gaps = append(gaps, GapError{QueueID: queue, Have: next - 1, Want: m.Version - 1})
		}
		stream, next = append(stream, e), m.Version+1
	}
	if len(gaps) == 0 {
		return stream, nil
	}
	missing, err := readGaps(ctx, conn, gaps)
	if err != nil {
		return nil, err
	}
	stream = append(stream, missing...)
	slices.SortStableFunc(stream, byQueueAndVersion)
	return stream, nil
}

func readGaps(ctx context.Context, conn *pgxpool.Conn, gaps []GapError) ([]schema.Recorded, error) {
	var (
		queues     []string
		have, want []int64
		missing    = map[string]int64{} // how many events each queue lacks
	)
	for _, g := range gaps {
		queues, have, want = append(queues, g.QueueID), append(have, g.Have), append(want, g.Want)
		missing[g.QueueID] += g.Want - g.Have
	}
	rows, err := conn.Query(ctx, selectRecorded+`
		JOIN unnest($1::text[], $2::bigint[], $3::bigint[]) AS gap (queue_id, have, want)
		ON aggregate_id = gap.queue_id AND version > gap.have AND version <= gap.want`, queues, have, want)
	if err != nil {
		return nil, err
	}
	events, err := pgx.CollectRows(rows, scanRecorded)
	if err != nil {
		return nil, err
	}
	if !filled(missing, events) {
		archived, err := readArchived(ctx, conn, queues, have, want)
		if err != nil {
			return nil, err
		}
		filled(missing, archived)
		events = append(events, archived...)
	}
	for _, g := range gaps {
		if missing[g.QueueID] > 0 {
			return nil, &g
		}
	}
	return events, nil
}

// filled takes events off what queues lack, and reports whether that is all.
func filled(missing map[string]int64, events []schema.Recorded) bool {
	lacking := int64(0)
	for _, e := range events {
		missing[e.Metadata.AggregateID]--
	}
	for _, n := range missing {
		lacking += n
	}
	return lacking == 0
}
