package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// poisonCommands are what operators do with messages that handlers gave up.
type poisonCommands struct {
	Groups   poisonGroups   `cmd:"" help:"What handlers gave up, by reason."`
	List     poisonList     `cmd:"" help:"List messages, oldest first."`
	Show     poisonShow     `cmd:"" help:"Show one message with its content, headers and stack."`
	Rehearse poisonRehearse `cmd:"" help:"Tell what a replay would do, without doing it."`
	Replay   poisonReplay   `cmd:"" help:"Hand a message, or all of a kind, to its handler again, and to no other."`
	Discard  poisonDiscard  `cmd:"" help:"Give a message, or all of a kind, up."`
}

type poisonGroups struct {
	operatorFlags
	After string `help:"List the groups behind this one, which is what the list before ends with."`
	Limit int    `help:"Most groups to list." default:"100"`
}

// Run lists the groups.
func (c poisonGroups) Run(o operator) error {
	var answer struct {
		Groups []struct {
			Group, Handler, Reason string
			EventName              *string
			Waiting                int64
			LastSeen               time.Time
		}
		Next string
	}
	path := "/api/poison/groups" + query("after", c.After, "limit", strconv.Itoa(c.Limit))
	if err := o.ask(c.operatorFlags, http.MethodGet, path, nil, &answer); err != nil {
		return err
	}
	rows := make([][]string, len(answer.Groups))
	for i, g := range answer.Groups {
		rows[i] = []string{g.Group, strconv.FormatInt(g.Waiting, 10), g.Handler, text(g.EventName), g.LastSeen.Format(time.RFC3339), g.Reason}
	}
	if err := o.table([]string{"GROUP", "WAITING", "HANDLER", "EVENT", "LAST SEEN", "REASON"}, rows); err != nil {
		return err
	}
	return o.more("--after", answer.Next)
}

type poisonList struct {
	operatorFlags
	Status  string `help:"WAITING, REPLAYING, REPLAYED or DISCARDED."`
	Handler string `help:"Who gave it up."`
	Group   string `help:"The group, as groups lists it."`
	After   int64  `help:"List the messages behind this id."`
	Limit   int    `help:"Most messages to list." default:"100"`
}

// Run lists messages.
func (c poisonList) Run(o operator) error {
	path := "/api/poison" + query("status", c.Status, "handler", c.Handler, "group", c.Group,
		"after", strconv.FormatInt(c.After, 10), "limit", strconv.Itoa(c.Limit))
	var page struct {
		Messages []struct {
			ID                      int64
			Status, Handler, Reason string
			EventName               *string
			AggregateID             *string
			Attempts                int
			CreatedAt               time.Time
		}
		NextAfter int64
	}
	if err := o.ask(c.operatorFlags, http.MethodGet, path, nil, &page); err != nil {
		return err
	}
	rows := make([][]string, len(page.Messages))
	for i, m := range page.Messages {
		rows[i] = []string{
			strconv.FormatInt(m.ID, 10), m.Status, m.Handler, text(m.EventName), text(m.AggregateID), strconv.Itoa(m.Attempts),
			m.CreatedAt.Format(time.RFC3339), m.Reason,
		}
	}
	if err := o.table([]string{"ID", "STATUS", "HANDLER", "EVENT", "QUEUE", "TRIES", "GIVEN UP", "REASON"}, rows); err != nil {
		return err
	}
	return o.more("--after", strconv.FormatInt(page.NextAfter, 10))
}

type poisonShow struct {
	operatorFlags
	ID int64 `arg:"" help:"The message's id."`
}

// Run shows one message.
func (c poisonShow) Run(o operator) error {
	return o.show(c.operatorFlags, fmt.Sprintf("/api/poison/%d", c.ID))
}

type poisonRehearse struct {
	operatorFlags
	Handler string `help:"Messages of this handler."`
	Group   string `help:"Messages of this group, as groups lists it."`
	Limit   int    `help:"Most messages to rehearse." default:"100"`
}

// Run rehearses.
func (c poisonRehearse) Run(o operator) error {
	body := map[string]any{"limit": c.Limit}
	if c.Handler != "" {
		body["handler"] = c.Handler
	}
	if c.Group != "" {
		body["group"] = c.Group
	}
	var answer struct {
		Messages []struct {
			ID                       int64
			Handler, Outcome, Reason string
		}
	}
	if err := o.ask(c.operatorFlags, http.MethodPost, "/api/poison/rehearse", body, &answer); err != nil {
		return err
	}
	rows := make([][]string, len(answer.Messages))
	for i, m := range answer.Messages {
		rows[i] = []string{strconv.FormatInt(m.ID, 10), m.Outcome, m.Handler, m.Reason}
	}
	return o.table([]string{"ID", "OUTCOME", "HANDLER", "REASON"}, rows)
}

// poisonChoice is one message, or all of a kind.
type poisonChoice struct {
	operatorFlags
	whoFlags
	Handler string `help:"All messages of this handler."`
	Group   string `help:"All messages of this group, as groups lists it."`
	All     bool   `help:"All waiting messages."`
	ID      int64  `arg:"" optional:"" help:"The message's id."`
}

var errNoChoice = errors.New("say which: an id, --group, --handler or --all")

func (c poisonChoice) order(o operator, what string) error {
	body := map[string]any{"actor": c.Actor, "reason": c.Reason}
	if c.ID > 0 {
		return o.act(c.operatorFlags, fmt.Sprintf("/api/poison/%d/%s", c.ID, what), body)
	}
	if c.Handler == "" && c.Group == "" && !c.All {
		return errNoChoice
	}
	if c.Handler != "" {
		body["handler"] = c.Handler
	}
	if c.Group != "" {
		body["group"] = c.Group
	}
	return o.act(c.operatorFlags, "/api/poison/"+what, body)
}

type poisonReplay struct{ poisonChoice }

// Run orders the replay.
func (c poisonReplay) Run(o operator) error { return c.order(o, "replay") }

type poisonDiscard struct{ poisonChoice }

// Run discards.
func (c poisonDiscard) Run(o operator) error { return c.order(o, "discard") }
