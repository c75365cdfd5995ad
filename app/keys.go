package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/app/server"
	"github.com/rlapp/rlapp/app/server/config"
)

// keyCommands make and end API keys. They go to the database: whoever reaches that needs
// no key.
type keyCommands struct {
	Create keyCreate `cmd:"" help:"Make a key for a kiosk, a display or an operator, and show it, once."`
	List   keyList   `cmd:"" help:"List the keys."`
	Revoke keyRevoke `cmd:"" help:"End a key within ten seconds."`
}

type keyCreate struct {
	whoFlags
	Name  string   `arg:"" help:"Whose it is; the actor of what is done with it."`
	Role  []string `help:"What it may do; may be given again." required:"" enum:"reception,cashier,doctor,display,operator,admin"`
	Queue []string `help:"A queue that it reaches; may be given again. All unless given."`
}

// Run implements kong's command.
func (c keyCreate) Run(ctx context.Context, settings config.Config) error {
	key, err := server.CreateKey(ctx, settings, c.Name, c.Role, c.Queue, postgres.Operator(c.whoFlags))
	if err != nil {
		return err
	}
	_, err = fmt.Println(key)
	return err
}

type keyList struct{}

// Run implements kong's command.
func (keyList) Run(ctx context.Context, settings config.Config) error {
	keys, err := server.ListKeys(ctx, settings)
	if err != nil {
		return err
	}
	rows := make([][]string, len(keys))
	for i, k := range keys {
		revoked := ""
		if k.RevokedAt != nil {
			revoked = k.RevokedAt.UTC().Format(timeForm)
		}
		rows[i] = []string{k.Name, strings.Join(k.Roles, ","), strings.Join(k.Queues, ","), k.CreatedAt.UTC().Format(timeForm), revoked}
	}
	return operator{ctx: ctx, out: os.Stdout}.table([]string{"NAME", "ROLES", "QUEUES", "CREATED", "REVOKED"}, rows)
}

const timeForm = "2006-01-02 15:04"

type keyRevoke struct {
	whoFlags
	Name string `arg:"" help:"Whose key."`
}

// Run implements kong's command.
func (c keyRevoke) Run(ctx context.Context, settings config.Config) error {
	if err := server.RevokeKey(ctx, settings, c.Name, postgres.Operator(c.whoFlags)); err != nil {
		return err
	}
	_, err := fmt.Println("The key ends within ten seconds.")
	return err
}
