package embedded

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports to choose from. They lie below those that the kernel gives to outgoing
// connections (from 32768 on Linux): a client that reconnects while the server
// restarts could otherwise be given the server's own port, and keep it.
const firstPort, lastPort = 20000, 32767

// freePort returns a port on which nobody listens. Somebody else may take it
// before its use.
func freePort(ctx context.Context) (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort+1) //nolint:gosec // a port is no secret
		if available(ctx, port) {
			return port, nil
		}
	}
	return 0, errors.New("found no free port on 127.0.0.1")
}

func available(ctx context.Context, port int) bool {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
