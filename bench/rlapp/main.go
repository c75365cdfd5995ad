// Command rlapp is RLAPP as bench runs it: one role, without plugins, configured by
// the environment. It prints its address once it is at work.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/rlapp/rlapp/app/server"
	"github.com/rlapp/rlapp/app/server/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, server.Role(os.Args[1])); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, role server.Role) error {
	c, err := config.Load(os.Environ(), "")
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s := server.New(role, c, logger, io.Discard)
	go func() {
		<-s.Ready()
		fmt.Println(s.Address())
	}()
	return s.Run(ctx)
}
