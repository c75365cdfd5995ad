package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// backlog is what the outbox has yet to tell everybody of, by the ids of events.
type backlog struct {
	// waiting are those that the relay will take next, in their order.
	waiting []string
	// left are those that it holds back, since an event of their queue has failed, or that a
	// person has discarded.
	left map[string]bool
}

// backlogPage is how many rows are read at a time.
const backlogPage = 5000

// backlog reads until so many wait. It is put together here and not in SQL: how many rows are
// held back the planner cannot know, and where it guesses wrong it compares each with each.
func (p *PluginCheckpoints) backlog(ctx context.Context, limit int) (b backlog, err error) {
	stopped, err := p.set(ctx, `
		SELECT DISTINCT aggregate_id FROM waiting_room_outbox WHERE NOT published AND (next_attempt_at IS NOT NULL OR parked_at IS NOT NULL)`)
	if err != nil {
		return b, err
	}
	if b.left, err = p.set(ctx, "SELECT event_id::text FROM waiting_room_outbox WHERE discarded_at IS NOT NULL"); err != nil {
		return b, err
	}
	last := int64(-1)
	for {
		page, err := p.unpublished(ctx, last)
		if err != nil {
			return b, err
		}
		for _, row := range page {
			if stopped[row.AggregateID] {
				b.left[row.EventID] = true
			} else if b.waiting = append(b.waiting, row.EventID); len(b.waiting) == limit {
				return b, nil
			}
		}
		if len(page) < backlogPage {
			return b, nil
		}
		last = page[len(page)-1].ID
	}
}

type outboxRow struct {
	ID          int64
	EventID     string
	AggregateID string
}

func (p *PluginCheckpoints) unpublished(ctx context.Context, after int64) ([]outboxRow, error) {
	rows, err := p.pool.Query(ctx, `
		SELECT id, event_id::text, aggregate_id FROM waiting_room_outbox WHERE NOT published AND id > $1 ORDER BY id LIMIT $2`, after, backlogPage)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[outboxRow])
}

// set reads a column.
func (p *PluginCheckpoints) set(ctx context.Context, query string) (map[string]bool, error) {
	rows, err := p.pool.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	all, value := map[string]bool{}, ""
	_, err = pgx.ForEachRow(rows, []any{&value}, func() error { all[value] = true; return nil })
	return all, err
}
