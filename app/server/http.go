package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of one connection. A request's body and work are bounded by httpapi.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
)

// httpStage listens at once, so that a taken port is an error at the start, and
// serves until it is stopped; requests in flight finish.
func httpStage(ctx context.Context, address string, handler http.Handler, logger *slog.Logger, timeout time.Duration) (stage, net.Addr, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return stage{}, nil, fmt.Errorf("listen on %s (another program may be using the port): %w", address, err)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	return stage{
		name: "HTTP server",
		run: func(context.Context) error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
		stop: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			return server.Shutdown(ctx)
		},
	}, listener.Addr(), nil
}
