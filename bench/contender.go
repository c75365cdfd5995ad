package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rlapp/rlapp/bench/process"
	"github.com/rlapp/rlapp/bench/stock"
)

// The contenders' names.
const (
	ours       = "rlapp"
	stockName  = "stock"
	stockTuned = "stock-tuned"
	diskName   = "three flushes alone" // see disk
)

// settleLimit bounds the wait for a backlog to drain.
const settleLimit = 5 * time.Minute

// pipeline is a contender whose relay and read model can be measured.
type pipeline interface {
	// writer returns how events are stored by an application: RLAPP's are check-ins
	// over HTTP, the peers' direct transactions, which is less work.
	writer(ctx context.Context, workers, queues int) (do send, end func() error, err error)
	// direct stores events in this process, without HTTP, whoever the contender is.
	direct(ctx context.Context, workers, queues int) (do send, end func() error, err error)
	// start runs relay and read model, and returns the process.
	start(ctx context.Context) (*process.Process, error)
	// projected is the number of events in the read model.
	projected(ctx context.Context) (int, error)
	// lags are those of all events, in the order in which they were committed.
	lags(ctx context.Context) (lag, error)
	// projectedBetween is when the first and the last row of the read model were
	// committed.
	projectedBetween(ctx context.Context) (first, last time.Time, err error)
	verify(ctx context.Context, a acknowledged) error
}

// with runs do on a fresh bench with a contender.
func (l *lab) with(ctx context.Context, name string, do func(b *bench, p pipeline) error) error {
	b, err := l.fresh(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	var p pipeline = &rlapp{bench: b}
	if name != ours {
		p = &peer{bench: b, tuned: name == stockTuned}
		err = stock.Prepare(ctx, b.peer(name == stockTuned))
	}
	if err == nil {
		err = do(b, p)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return err
}

// rlapp is RLAPP: its API takes the check-ins, in the process of everything else
// where that runs.
type rlapp struct {
	*bench
	all *process.Process
}

func (r *rlapp) writer(ctx context.Context, workers, queues int) (send, func() error, error) {
	api, end := r.all, func() error { return nil }
	if api == nil {
		own, err := r.bench.start(ctx, "api")
		if err != nil {
			return nil, nil, err
		}
		api, end = own, own.Stop
	}
	c, err := connect(ctx, api.Hello, workers, queues)
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return c.checkIn, func() error { return errors.Join(c.close(), end()) }, nil
}

func (r *rlapp) direct(ctx context.Context, _, queues int) (send, func() error, error) {
	w, err := r.writePath(ctx)
	if err != nil {
		return nil, nil, err
	}
	return w.send(queues), w.stop, nil
}

func (r *rlapp) start(ctx context.Context) (p *process.Process, err error) {
	r.all, err = r.bench.start(ctx, "all")
	return r.all, err
}

func (r *rlapp) projected(ctx context.Context) (n int, err error) {
	err = r.pool.QueryRow(ctx, "SELECT coalesce(sum(total_patients_waiting), 0) FROM waiting_queue_view").Scan(&n)
	return n, err
}

func (r *rlapp) lags(ctx context.Context) (lag, error) {
	return r.query(ctx, `
		SELECT extract(epoch FROM pg_xact_commit_timestamp(v.xmin) - pg_xact_commit_timestamp(e.xmin))::float8 * 1000
		FROM waiting_room_events e
		JOIN waiting_patients_view v ON v.queue_id = e.aggregate_id AND v.patient_id = e.payload->>'patientId'
		WHERE e.event_name = 'PatientCheckedIn' ORDER BY e.position`)
}

func (r *rlapp) projectedBetween(ctx context.Context) (first, last time.Time, err error) {
	err = r.pool.QueryRow(ctx, `
		SELECT min(pg_xact_commit_timestamp(xmin)), max(pg_xact_commit_timestamp(xmin)) FROM waiting_patients_view`).Scan(&first, &last)
	return first, last, err
}

func (r *rlapp) verify(ctx context.Context, a acknowledged) error { return r.verifyAll(ctx, a) }

// peer is the stock pipeline, plain or tuned.
type peer struct {
	*bench
	tuned bool
}

func (p *peer) writer(_ context.Context, workers, queues int) (send, func() error, error) {
	w, err := stock.NewWriter(p.peer(p.tuned), min(workers, connections))
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, _, event int) error {
		return w.Write(ctx, patient(event), queue(event, queues), []byte(payload(queue(event, queues), patient(event))))
	}, w.Close, nil
}

func (p *peer) direct(ctx context.Context, workers, queues int) (send, func() error, error) {
	return p.writer(ctx, workers, queues)
}

func (p *peer) start(ctx context.Context) (*process.Process, error) { return p.startPeer(ctx, p.tuned) }

func (p *peer) projected(ctx context.Context) (n int, err error) {
	err = p.pool.QueryRow(ctx, "SELECT count(*) FROM stock_view").Scan(&n)
	return n, err
}

func (p *peer) lags(ctx context.Context) (lag, error) {
	return p.query(ctx, `
		SELECT extract(epoch FROM pg_xact_commit_timestamp(v.xmin) - pg_xact_commit_timestamp(e.xmin))::float8 * 1000
		FROM stock_event_store e JOIN stock_view v USING (id) ORDER BY pg_xact_commit_timestamp(e.xmin)`)
}

func (p *peer) projectedBetween(ctx context.Context) (first, last time.Time, err error) {
	err = p.pool.QueryRow(ctx, `
		SELECT min(pg_xact_commit_timestamp(xmin)), max(pg_xact_commit_timestamp(xmin)) FROM stock_view`).Scan(&first, &last)
	return first, last, err
}

func (p *peer) verify(ctx context.Context, a acknowledged) error { return p.verifyPeer(ctx, a) }

// query collects one number a row.
func (b *bench) query(ctx context.Context, statement string) (lag, error) {
	rows, err := b.pool.Query(ctx, statement)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var values lag
	for rows.Next() {
		var v float64
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, rows.Err()
}

// errNotSettled says that a contender did not get through its backlog.
var errNotSettled = errors.New("the read model was not complete in time")

// settle waits until the read model has n events.
func settle(ctx context.Context, p pipeline, n int) error {
	err := until(ctx, settleLimit, func() (bool, error) {
		pause(ctx, 80*time.Millisecond)
		have, err := p.projected(ctx)
		return have >= n, err
	})
	if err != nil {
		have, _ := p.projected(ctx)
		return fmt.Errorf("%w: it has %d of %d events: %w", errNotSettled, have, n, err)
	}
	return nil
}
