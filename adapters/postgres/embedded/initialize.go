package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
)

// superuser owns everything in the server, and database is what it creates.
const (
	superuser = "rlapp"
	database  = "rlapp"
)

// locales to try: neither depends on the machine's collation rules, whose change
// would corrupt indexes. Not every system has the first.
var locales = []string{"C.UTF-8", "C"}

// initialize creates the data. They appear complete or not at all, so a crash
// leaves nothing that the next start would take for data.
func (d directory) initialize(ctx context.Context, logger *slog.Logger, bin string) error {
	if err := d.newPassword(); err != nil {
		return fmt.Errorf("write the password: %w", err)
	}
	fresh := d.data() + ".new"
	var err error
	for _, locale := range locales {
		if err = d.initdb(ctx, logger, bin, fresh, locale); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		_ = os.RemoveAll(fresh)
		return errors.Join(fmt.Errorf("initialize PostgreSQL's data: %w", err), d.reachable())
	}
	if err := os.Rename(fresh, d.data()); err != nil {
		return fmt.Errorf("put PostgreSQL's data in place: %w", err)
	}
	return d.sync()
}

// reachable tells which parent directory keeps the server from its data. Access
// control lists are beyond it, so it only explains a failure.
func (d directory) reachable() error {
	if !d.account.other() {
		return nil
	}
	for dir := filepath.Dir(d.path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 == 0 {
			return fmt.Errorf("%s cannot pass through %s (%s): use another data directory", d.account, dir, info.Mode())
		}
	}
	return nil
}

func (d directory) initdb(ctx context.Context, logger *slog.Logger, bin, fresh, locale string) error {
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return err
	}
	if err := d.account.own(fresh); err != nil {
		return err
	}
	p, err := start(d.account, syscall.SIGKILL, logger, filepath.Join(bin, "initdb"),
		"--pgdata="+fresh, "--username="+superuser, "--pwfile="+d.passwordFile(), "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale="+locale, "--lc-messages=C", "--data-checksums")
	if err != nil {
		return err
	}
	return p.wait(ctx)
}
