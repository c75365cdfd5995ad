package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// projectionCommands are what operators do with read models.
type projectionCommands struct {
	List         projectionsList     `cmd:"" help:"How far the projections are."`
	Rebuild      projectionsRebuild  `cmd:"" help:"Rebuild one from the event store, or all."`
	Status       projectionsStatus   `cmd:"" help:"Show how the last rebuild of one stands, with the rows in which it differed."`
	Rollback     projectionsRollback `cmd:"" help:"Put the tables back that the last rebuild of one replaced."`
	RebuildQueue queueRebuild        `cmd:"" help:"Rebuild one queue's rows of all."`
}

type projectionsList struct{ operatorFlags }

// Run lists the projections.
func (c projectionsList) Run(o operator) error {
	var answer struct {
		Projections []struct {
			ProjectionID, Status                                       string
			LastPosition, EventsProcessed, EventsBehind, EventsGivenUp int64
		}
	}
	if err := o.ask(c.operatorFlags, http.MethodGet, "/api/projections/health", nil, &answer); err != nil {
		return err
	}
	rows := make([][]string, len(answer.Projections))
	for i, p := range answer.Projections {
		rows[i] = []string{p.ProjectionID, p.Status}
		for _, n := range []int64{p.LastPosition, p.EventsProcessed, p.EventsBehind, p.EventsGivenUp} {
			rows[i] = append(rows[i], strconv.FormatInt(n, 10))
		}
	}
	return o.table([]string{"PROJECTION", "STATUS", "POSITION", "EVENTS", "BEHIND", "GIVEN UP"}, rows)
}

type projectionsRebuild struct {
	operatorFlags
	whoFlags
	Projection string `arg:"" optional:"" help:"Its id; all unless given."`
}

// Run orders the rebuild.
func (c projectionsRebuild) Run(o operator) error {
	return o.begin(c.operatorFlags, "/api/projections/rebuild"+query("projectionId", c.Projection, "actor", c.Actor, "reason", c.Reason), nil)
}

type projectionsStatus struct {
	operatorFlags
	Projection string `arg:"" help:"Its id."`
}

// Run shows the last rebuild.
func (c projectionsStatus) Run(o operator) error {
	return o.show(c.operatorFlags, fmt.Sprintf("/api/projections/%s/rebuild", url.PathEscape(c.Projection)))
}

type projectionsRollback struct {
	operatorFlags
	whoFlags
	Projection string `arg:"" help:"Its id."`
}

// Run orders the rollback.
func (c projectionsRollback) Run(o operator) error {
	return o.begin(c.operatorFlags, fmt.Sprintf("/api/projections/%s/rebuild/rollback", url.PathEscape(c.Projection)),
		map[string]any{"actor": c.Actor, "reason": c.Reason})
}

type queueRebuild struct {
	operatorFlags
	whoFlags
	Queue string `arg:"" help:"The queue's id."`
}

// Run orders the rebuild.
func (c queueRebuild) Run(o operator) error {
	return o.begin(c.operatorFlags, fmt.Sprintf("/api/v1/waiting-room/%s/rebuild", url.PathEscape(c.Queue))+query("actor", c.Actor, "reason", c.Reason), nil)
}
