package rabbitmqtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// programs is where Debian's package keeps RabbitMQ's own scripts; those in
	// /usr/sbin switch the user, which this package does itself.
	programs = "/usr/lib/rabbitmq/bin"
	// bootMarker is what a node prints once its listeners are up.
	bootMarker = " completed with "
	// externalURL names the variable with the broker to use where RabbitMQ is
	// not installed.
	externalURL = "RLAPP_TEST_RABBITMQ_URL"
)

// ErrExternal is returned when a test asks for something that only a private
// node can do, and the broker is the one of RLAPP_TEST_RABBITMQ_URL.
var ErrExternal = errors.New("the broker of " + externalURL + " is not ours to control: install rabbitmq-server")

// Config describes a node. The zero value is ready for use.
type Config struct {
	// StartTimeout bounds one start. A start takes about 4 s on an idle machine.
	// Default: 90 s.
	StartTimeout time.Duration
	// Conf is appended to the node's rabbitmq.conf. Default: nothing.
	Conf string
	// Plugins are enabled besides rabbitmq_prometheus. Default: none.
	Plugins []string
}

// Node is one RabbitMQ broker. Its methods are safe for concurrent use.
type Node struct {
	config Config
	url    string // of a broker that is not ours; else ""
	dir    string
	ports  ports
	env    []string

	mu     sync.Mutex
	names  *process // epmd, the Erlang name server
	server *process // nil while the node is down
}

// Start runs a node and returns when it takes connections. It fails with a
// message that names the remedy when RabbitMQ is not installed.
func Start(ctx context.Context, config Config) (*Node, error) {
	if config.StartTimeout == 0 {
		config.StartTimeout = 90 * time.Second
	}
	if _, err := os.Stat(filepath.Join(programs, "rabbitmq-server")); err != nil {
		return external()
	}
	n := &Node{config: config}
	if err := n.prepare(ctx); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	if err := n.Restart(ctx); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

func external() (*Node, error) {
	given := os.Getenv(externalURL)
	if given == "" {
		return nil, fmt.Errorf("there is no RabbitMQ for the tests: %s/rabbitmq-server is missing and %s is empty; "+
			"run the test command of the README, or apt-get install rabbitmq-server", programs, externalURL)
	}
	return &Node{url: given}, nil
}

// prepare lays out the node's directory, chooses its ports and starts its name
// server. Started by us and not by the node, that one is no daemon: it ends with
// the test.
func (n *Node) prepare(ctx context.Context) error {
	var err error
	if n.ports, err = freePorts(ctx); err != nil {
		return err
	}
	if n.dir, err = layOut(n.config, n.ports); err != nil {
		return err
	}
	n.env = environment(n.dir, n.ports)
	epmd, err := exec.LookPath("epmd")
	if err != nil {
		return fmt.Errorf("find Erlang's name server: %w", err)
	}
	n.names, err = start(n.env, "", epmd, "-port", strconv.Itoa(n.ports.names), "-address", "127.0.0.1")
	return err
}

// URL is the AMQP address, with credentials.
func (n *Node) URL() string {
	if n.url != "" {
		return n.url
	}
	u := url.URL{
		Scheme: "amqp",
		User:   url.UserPassword("guest", "guest"),
		Host:   n.Address(),
		Path:   "/",
	}
	return u.String()
}

// Address is the AMQP listener's host and port.
func (n *Node) Address() string {
	if n.url == "" {
		return fmt.Sprintf("127.0.0.1:%d", n.ports.amqp)
	}
	u, err := url.Parse(n.url)
	if err != nil {
		return ""
	}
	return u.Host
}

// Dir is the node's directory: its data, and its logs in log/. It is gone after
// Stop; "" for a broker that is not ours.
func (n *Node) Dir() string { return n.dir }

// PrometheusURL is where the node serves its metrics; "" for a broker that is
// not ours.
func (n *Node) PrometheusURL() string {
	if n.url != "" {
		return ""
	}
	return fmt.Sprintf("http://127.0.0.1:%d/metrics", n.ports.prometheus)
}

// Ctl runs rabbitmqctl against the node and returns what it printed. It takes
// about 2 s: an Erlang machine starts for it. It returns ErrExternal for a
// broker that is not ours.
func (n *Node) Ctl(ctx context.Context, args ...string) (string, error) {
	if n.url != "" {
		return "", ErrExternal
	}
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "rabbitmqctl"), args...)
	cmd.Env = n.env
	cmd.SysProcAttr = unprivileged()
	printed, err := cmd.CombinedOutput()
	if err != nil {
		return string(printed), fmt.Errorf("rabbitmqctl %s: %w: %s", strings.Join(args, " "), err, printed)
	}
	return string(printed), nil
}

// Settle waits until the queues that exist survive a Kill. RabbitMQ writes
// the name of a new one to disk only after half a second without changes (ra's
// names.dets); a crash before that loses the queue and its confirmed messages,
// and RabbitMQ 3.10 then waits for ever for a leader of it. It returns
// ErrExternal for a broker that is not ours.
func (n *Node) Settle(ctx context.Context) error {
	_, err := n.Ctl(ctx, "eval", "mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()].")
	return err
}

// Kill ends the node as a crash would, by SIGKILL, and keeps its data, but see
// Settle. It returns ErrExternal for a broker that is not ours.
func (n *Node) Kill() error {
	if n.url != "" {
		return ErrExternal
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.killServer()
}

func (n *Node) killServer() error {
	if n.server == nil {
		return nil
	}
	err := n.server.kill()
	n.server = nil
	return err
}

// Freeze stops the node where it is: connections stay, and nothing answers, as
// behind a network that swallows everything. It returns ErrExternal for a broker
// that is not ours.
func (n *Node) Freeze() error { return n.control((*process).freeze) }

// Thaw lets a frozen node go on.
func (n *Node) Thaw() error { return n.control((*process).thaw) }

func (n *Node) control(do func(*process) error) error {
	if n.url != "" {
		return ErrExternal
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server == nil {
		return errors.New("the RabbitMQ node is down")
	}
	return do(n.server)
}

// Restart starts the node again on the same ports and data, and returns when it
// takes connections. A node that runs is stopped in an orderly way first. It
// returns ErrExternal for a broker that is not ours.
func (n *Node) Restart(ctx context.Context) error {
	if n.url != "" {
		return ErrExternal
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server != nil {
		if err := n.server.terminate(); err != nil {
			return err
		}
		n.server = nil
	}
	ctx, cancel := context.WithTimeout(ctx, n.config.StartTimeout)
	defer cancel()
	server, err := start(n.env, bootMarker, filepath.Join(programs, "rabbitmq-server"))
	if err != nil {
		return err
	}
	select {
	case <-server.output.ready:
		n.server = server
		return nil
	case <-server.done:
		return fmt.Errorf("RabbitMQ ended while it started:\n%s", server.output)
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("RabbitMQ did not start: %w:\n%s", ctx.Err(), server.output), server.kill())
	}
}

// Stop ends the node and deletes its data. A broker that is not ours is left
// alone. It may be called more than once.
func (n *Node) Stop() error {
	if n.url != "" {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	err := n.killServer()
	if n.names != nil {
		err = errors.Join(err, n.names.kill())
		n.names = nil
	}
	if n.dir != "" {
		err = errors.Join(err, os.RemoveAll(n.dir))
	}
	return err
}
