package rabbitmqtest

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ports are the TCP ports of one node, all on loopback.
type ports struct {
	amqp, prometheus int
	distribution     int // between Erlang nodes
	ctl              int // rabbitmqctl's end of that
	names            int // epmd
}

// Ports to choose from. They lie below those that the kernel gives to whoever asks for
// any (from 32768 on Linux), which are taken all the time while the node starts.
const firstPort, lastPort = 10000, 19999

// freePorts returns ports on which nobody listens. Another process may take one before
// the node does; the node then fails to start and says so.
func freePorts(ctx context.Context) (ports, error) {
	var p ports
	for _, port := range []*int{&p.amqp, &p.prometheus, &p.distribution, &p.ctl, &p.names} {
		l, err := listenAnywhere(ctx)
		if err != nil {
			return ports{}, err
		}
		defer func() { _ = l.Close() }() // held until all are found, so that none is found twice
		*port = l.Addr().(*net.TCPAddr).Port
	}
	return p, nil
}

func listenAnywhere(ctx context.Context) (l net.Listener, err error) {
	for range 100 {
		port := firstPort + mathrand.IntN(lastPort-firstPort+1) //nolint:gosec // a port is no secret
		if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("find a free port: %w", err)
}

// layOut creates the node's directory, owned by the user that the node runs as.
func layOut(config Config, p ports) (string, error) {
	dir, err := os.MkdirTemp("", "rlapp-rabbitmq-")
	if err != nil {
		return "", fmt.Errorf("create the node's directory: %w", err)
	}
	plugins := append([]string{"rabbitmq_prometheus"}, config.Plugins...)
	files := []struct {
		name, content string
		mode          os.FileMode
	}{
		{".erlang.cookie", rand.Text(), 0o400},
		{"enabled_plugins", "[" + strings.Join(plugins, ",") + "].\n", 0o600},
		{"rabbitmq.conf", conf(p) + config.Conf + "\n", 0o600},
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.WriteFile(path, []byte(f.content), f.mode); err != nil {
			return dir, fmt.Errorf("write the node's %s: %w", f.name, err)
		}
		if err := handOver(path); err != nil {
			return dir, err
		}
	}
	return dir, handOver(dir)
}

func handOver(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if err := os.Chown(path, nobody, nobody); err != nil {
		return fmt.Errorf("hand the node's files over: %w", err)
	}
	return nil
}

// conf keeps everything on loopback and small. A quorum queue's log grows to
// 512 MB before it is rolled unless told otherwise.
func conf(p ports) string {
	return fmt.Sprintf(`listeners.tcp.1 = 127.0.0.1:%d
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = %d
raft.wal_max_size_bytes = 67108864
disk_free_limit.absolute = 10MB
log.console = false
`, p.amqp, p.prometheus)
}

// environment tells RabbitMQ's scripts where everything is. They read nothing
// from the machine's own configuration.
func environment(dir string, p ports) []string {
	in := func(name string) string { return filepath.Join(dir, name) }
	vars := map[string]any{
		"PATH":             os.Getenv("PATH"),
		"HOME":             dir,
		"TMPDIR":           dir,
		"LANG":             "C.UTF-8",
		"ERL_EPMD_ADDRESS": "127.0.0.1",
		"ERL_EPMD_PORT":    p.names,
		// Without this the script stays as the parent of the Erlang machine, and
		// a signal to our child would miss the server.
		"RUNNING_UNDER_SYSTEMD":               "true",
		"RABBITMQ_NODENAME":                   fmt.Sprintf("rlapp%d@localhost", p.amqp),
		"RABBITMQ_NODE_IP_ADDRESS":            "127.0.0.1",
		"RABBITMQ_NODE_PORT":                  p.amqp,
		"RABBITMQ_DIST_PORT":                  p.distribution,
		"RABBITMQ_CTL_DIST_PORT_MIN":          p.ctl,
		"RABBITMQ_CTL_DIST_PORT_MAX":          p.ctl,
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
		"RABBITMQ_MNESIA_BASE":                in("data"),
		"RABBITMQ_LOG_BASE":                   in("log"),
		"RABBITMQ_CONFIG_FILE":                in("rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE":       in("advanced.config"),
		"RABBITMQ_CONF_ENV_FILE":              in("rabbitmq-env.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE":       in("enabled_plugins"),
		"RABBITMQ_PID_FILE":                   in("pid"),
	}
	env := make([]string, 0, len(vars))
	for name, value := range vars {
		env = append(env, fmt.Sprintf("%s=%v", name, value))
	}
	return env
}
