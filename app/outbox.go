package main

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// outboxCommands are what operators do with the outbox.
type outboxCommands struct {
	List    outboxList    `cmd:"" help:"List events, oldest first."`
	Show    outboxShow    `cmd:"" help:"Show one event with its last error."`
	Retry   outboxRetry   `cmd:"" help:"Publish a failed or parked event now, or all of a kind."`
	Discard outboxDiscard `cmd:"" help:"Give a parked event up: it is never published, and its queue's later events go on."`
}

// outboxKind selects events.
type outboxKind struct {
	Status    string `help:"PENDING, FAILED, PARKED, UNROUTABLE, PUBLISHED or DISCARDED."`
	EventName string `help:"Name of the events."`
	Queue     string `help:"Id of the queue."`
}

type outboxList struct {
	operatorFlags
	outboxKind
	After int64 `help:"List the events behind this id."`
	Limit int   `help:"Most events to list." default:"100"`
}

type outboxEvent struct {
	ID            int64
	EventName     string
	AggregateID   string
	Status        string
	RetryCount    int
	LastError     *string
	NextAttemptAt *time.Time
	CreatedAt     time.Time
}

// Run lists events.
func (c outboxList) Run(o operator) error {
	path := "/api/outbox" + query("status", c.Status, "eventName", c.EventName, "queueId", c.Queue,
		"after", strconv.FormatInt(c.After, 10), "limit", strconv.Itoa(c.Limit))
	var page struct {
		Events    []outboxEvent
		NextAfter int64
	}
	if err := o.ask(c.operatorFlags, http.MethodGet, path, nil, &page); err != nil {
		return err
	}
	rows := make([][]string, len(page.Events))
	for i, e := range page.Events {
		rows[i] = []string{
			strconv.FormatInt(e.ID, 10), e.Status, e.EventName, e.AggregateID, strconv.Itoa(e.RetryCount),
			e.CreatedAt.Format(time.RFC3339), clock(e.NextAttemptAt), text(e.LastError),
		}
	}
	if err := o.table([]string{"ID", "STATUS", "EVENT", "QUEUE", "RETRIES", "CREATED", "NEXT ATTEMPT", "LAST ERROR"}, rows); err != nil {
		return err
	}
	return o.more("--after", strconv.FormatInt(page.NextAfter, 10))
}

type outboxShow struct {
	operatorFlags
	ID int64 `arg:"" help:"The event's id in the outbox."`
}

// Run shows one event.
func (c outboxShow) Run(o operator) error {
	return o.show(c.operatorFlags, fmt.Sprintf("/api/outbox/%d", c.ID))
}

type outboxRetry struct {
	operatorFlags
	whoFlags
	outboxKind
	ID int64 `arg:"" optional:"" help:"The event's id in the outbox; without it all of the kind."`
}

// Run retries one event, or all of a kind.
func (c outboxRetry) Run(o operator) error {
	body := map[string]any{"actor": c.Actor, "reason": c.Reason}
	if c.ID > 0 {
		return o.act(c.operatorFlags, fmt.Sprintf("/api/outbox/%d/retry", c.ID), body)
	}
	for name, value := range map[string]string{"status": c.Status, "eventName": c.EventName, "queueId": c.Queue} {
		if value != "" {
			body[name] = value
		}
	}
	return o.act(c.operatorFlags, "/api/outbox/retry", body)
}

type outboxDiscard struct {
	operatorFlags
	whoFlags
	ID int64 `arg:"" help:"The event's id in the outbox."`
}

// Run discards one event.
func (c outboxDiscard) Run(o operator) error {
	return o.act(c.operatorFlags, fmt.Sprintf("/api/outbox/%d/discard", c.ID), map[string]any{"actor": c.Actor, "reason": c.Reason})
}
