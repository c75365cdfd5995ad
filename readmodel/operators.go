package readmodel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Operator is who puts something right, and why. Both are recorded with what was done.
type Operator struct {
	Actor  string
	Reason string
}

// OperatorAction is one thing that an operator did.
type OperatorAction struct {
	ID      int64
	Actor   string
	Action  string
	Target  string
	Reason  string
	Changed int64
	TakenAt time.Time
}

// OperatorActions returns what operators did, newest first, at most limit; before
// is the id from which on newer ones are left out, 0 for none.
func (s *Store) OperatorActions(ctx context.Context, before int64, limit int) ([]OperatorAction, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT id, actor, action, target, reason, affected, taken_at FROM operator_actions
		WHERE $1::bigint = 0 OR id < $1 ORDER BY id DESC LIMIT $2`, before, limit)
	if err != nil {
		return nil, fmt.Errorf("read the operators' actions: %w", err)
	}
	actions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[OperatorAction])
	if err != nil {
		return nil, fmt.Errorf("read the operators' actions: %w", err)
	}
	return actions, nil
}

// RecordAction records what an operator has begun, which goes on in the background.
func (s *Store) RecordAction(ctx context.Context, who Operator, action, target string) error {
	_, err := s.pool.Exec(ctx, recordAction, who.Actor, action, target, who.Reason, 1)
	if err != nil {
		return fmt.Errorf("record %s %s: %w", action, target, err)
	}
	return nil
}

const recordAction = `INSERT INTO operator_actions (actor, action, target, reason, affected) VALUES ($1, $2, $3, $4, $5)`

// StateError says that something is in a state in which an operator cannot change it
// so.
type StateError struct {
	// What it is, such as "outbox event".
	What   string
	ID     int64
	Status string
	// Wants are the statuses in which it could.
	Wants string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("%s %d is %s; only %s ones can be changed so", e.What, e.ID, e.Status, e.Wants)
}

// errNothing tells act that its statement changed nothing: nothing is recorded.
var errNothing = errors.New("nothing to do")

// act changes something for an operator and records it, both or neither. It returns
// how much the statement changed, or errNothing.
func (s *Store) act(ctx context.Context, who Operator, action, target, statement string, args ...any) (changed int64, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, statement, args...)
		if err != nil {
			return err
		}
		if changed = tag.RowsAffected(); changed == 0 {
			return errNothing
		}
		_, err = tx.Exec(ctx, recordAction, who.Actor, action, target, who.Reason, changed)
		return err
	})
	if err != nil && !errors.Is(err, errNothing) {
		err = fmt.Errorf("%s %s: %w", action, target, err)
	}
	return changed, err
}
