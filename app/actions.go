package main

import (
	"net/http"
	"strconv"
	"time"
)

// actionsCommand lists what operators did.
type actionsCommand struct {
	operatorFlags
	Before int64 `help:"List the actions before this id, which is what the list before ends with."`
	Limit  int   `help:"Most actions to list." default:"100"`
}

// Run lists the actions, newest first.
func (c actionsCommand) Run(o operator) error {
	var page struct {
		Actions []struct {
			ID                            int64
			Actor, Action, Target, Reason string
			Changed                       int64
			TakenAt                       time.Time
		}
		NextBefore int64
	}
	path := "/api/operator-actions" + query("before", strconv.FormatInt(c.Before, 10), "limit", strconv.Itoa(c.Limit))
	if err := o.ask(c.operatorFlags, http.MethodGet, path, nil, &page); err != nil {
		return err
	}
	rows := make([][]string, len(page.Actions))
	for i, a := range page.Actions {
		rows[i] = []string{
			strconv.FormatInt(a.ID, 10), a.TakenAt.Format(time.RFC3339), a.Actor, a.Action, a.Target, strconv.FormatInt(a.Changed, 10), a.Reason,
		}
	}
	if err := o.table([]string{"ID", "WHEN", "WHO", "ACTION", "TARGET", "CHANGED", "REASON"}, rows); err != nil {
		return err
	}
	return o.more("--before", strconv.FormatInt(page.NextBefore, 10))
}
