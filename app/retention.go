package main

import (
	"net/http"
	"strconv"
	"time"
)

// retentionCommands are what operators do about old rows.
type retentionCommands struct {
	List retentionList `cmd:"" help:"What was archived and pruned, newest first."`
	Run  retentionRun  `cmd:"" help:"Archive and prune now."`
}

type retentionList struct {
	operatorFlags
	Before int64 `help:"List the runs before this id, which is what the list before ends with."`
	Limit  int   `help:"Most runs to list." default:"10"`
}

// Run lists the last runs.
func (c retentionList) Run(o operator) error {
	var answer struct {
		Runs []struct {
			StartedAt                                                             time.Time
			EndedAt                                                               *time.Time
			ArchivedEvents, HeldQueues, PrunedLagRows, PrunedOutbox, PrunedPoison int64
			Error                                                                 *string
		}
		NextBefore int64
	}
	path := "/api/retention" + query("before", strconv.FormatInt(c.Before, 10), "limit", strconv.Itoa(c.Limit))
	if err := o.ask(c.operatorFlags, http.MethodGet, path, nil, &answer); err != nil {
		return err
	}
	rows := make([][]string, len(answer.Runs))
	for i, r := range answer.Runs {
		rows[i] = []string{r.StartedAt.Format(time.RFC3339)}
		for _, n := range []int64{r.ArchivedEvents, r.HeldQueues, r.PrunedLagRows, r.PrunedOutbox, r.PrunedPoison} {
			rows[i] = append(rows[i], strconv.FormatInt(n, 10))
		}
		rows[i] = append(rows[i], text(r.Error))
	}
	if err := o.table([]string{"STARTED", "ARCHIVED", "HELD QUEUES", "LAG ROWS", "OUTBOX", "POISON", "ERROR"}, rows); err != nil {
		return err
	}
	return o.more("--before", strconv.FormatInt(answer.NextBefore, 10))
}

type retentionRun struct {
	operatorFlags
	whoFlags
}

// Run orders a run.
func (c retentionRun) Run(o operator) error {
	return o.begin(c.operatorFlags, "/api/retention", map[string]any{"actor": c.Actor, "reason": c.Reason})
}
