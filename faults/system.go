package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/collectors"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/rs/zerolog"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/adapters/postgres/embedded"
	"github.com/rlapp/rlapp/adapters/rabbitmq/rabbitmqtest"
	"github.com/rlapp/rlapp/bench/process"
)

// system is a whole RLAPP with its servers. Every process has links of its own to
// them, which can be cut.
type system struct {
	dir        string
	logs       string // what the processes log
	program    string // this one, whose "serve" is RLAPP with a recorder
	database   *embedded.Server
	broker     *rabbitmqtest.Node
	recorder   *recorder
	proxies    *toxiproxy.ApiServer
	links      map[string]*toxiproxy.Proxy
	traffic    *prometheus.Registry // of the links
	pool       *pgxpool.Pool        // past the links
	apiAddress string
	keepLogs   bool
	broken     bool // a round could not end

	mu        sync.Mutex
	processes map[string]*process.Process // by name
}

// The links, by process and server.
var links = []string{"api-postgres", "worker-postgres", "projections-postgres", "worker-rabbitmq", "projections-rabbitmq"}

// The processes of every system.
var roles = []string{"worker", "projections", "api"}

// site is where a system is.
type site struct {
	dir string // for the data
	bin string // where PostgreSQL's programs are; found where it is empty
	wal string // how much it keeps before it writes everything down
}

// open starts a system.
func open(ctx context.Context, program string, at site) (s *system, err error) {
	s = &system{dir: at.dir, program: program, links: map[string]*toxiproxy.Proxy{}, processes: map[string]*process.Process{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.logs, err = os.MkdirTemp("", "rlapp-faults-logs-"); err != nil {
		return s, err
	}
	parameters := map[string]string{"max_connections": "60", "max_wal_size": at.wal}
	s.database, err = embedded.Start(ctx, embedded.Config{DataDirectory: filepath.Join(at.dir, "postgres"), BinDirectory: at.bin, Parameters: parameters})
	if err != nil {
		return s, err
	}
	if s.pool, err = postgres.Open(ctx, s.database.ConnString(), postgres.PoolConfig{ApplicationName: "faults", MaxConnections: 4}); err != nil {
		return s, err
	}
	if err := postgres.Migrate(ctx, s.pool); err != nil {
		return s, err
	}
	if s.broker, err = rabbitmqtest.Start(ctx, rabbitmqtest.Config{}); err != nil {
		return s, err
	}
	if s.recorder, err = newRecorder(ctx); err != nil {
		return s, err
	}
	if err := s.connect(); err != nil {
		return s, err
	}
	if s.apiAddress, err = freeAddress(ctx); err != nil {
		return s, err
	}
	for _, role := range roles {
		if err := s.start(ctx, role, role); err != nil {
			return s, err
		}
	}
	if err := s.begin(ctx); err != nil {
		return s, err
	}
	return s, s.broker.Settle(ctx)
}

// begin lets the first event through, which makes the queues.
func (s *system) begin(ctx context.Context) error {
	r := &request{Command: checkIn, Queue: "first-0", Patient: "p", Key: "first"}
	if r.send(ctx, s.api()); r.Outcome != acknowledged {
		return fmt.Errorf("the first check-in was answered with %d", r.Status)
	}
	return until(ctx, 30*time.Second, func() (bool, error) { return len(s.recorder.of("first-")) > 0, nil })
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (s *system) api() string { return "http://" + s.apiAddress }

// connect makes the links.
func (s *system) connect() error {
	zerolog.SetGlobalLevel(zerolog.Disabled)
	s.traffic = prometheus.NewRegistry()
	metrics := toxiproxy.NewMetricsContainer(s.traffic)
	metrics.ProxyMetrics = collectors.NewProxyMetricCollectors()
	s.traffic.MustRegister(metrics.ProxyMetrics.Collectors()...)
	s.proxies = toxiproxy.NewServer(metrics, zerolog.Nop())
	database, err := url.Parse(s.database.ConnString())
	if err != nil {
		return err
	}
	for _, name := range links {
		upstream := database.Host
		if strings.HasSuffix(name, "rabbitmq") {
			upstream = s.broker.Address()
		}
		proxy := toxiproxy.NewProxy(s.proxies, name, "127.0.0.1:0", upstream)
		if err := s.proxies.Collection.Add(proxy, true); err != nil {
			return err
		}
		s.links[name] = proxy
	}
	return nil
}

// ended is how many bytes the connections of a link had carried that have ended: it
// rises with each of them.
func (s *system) ended(link string) (bytes float64, err error) {
	families, err := s.traffic.Gather()
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "proxy" && label.GetValue() == link {
					bytes += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return bytes, err
}

// toxic is what is wrong with a link in one direction.
type toxic struct {
	Type       string         `json:"type"`
	Stream     string         `json:"stream"` // upstream: to the server
	Attributes map[string]any `json:"attributes"`
}

// poisonLink puts toxics on a link and returns what takes them off.
func (s *system) poisonLink(name string, toxics ...toxic) (heal func() error, err error) {
	proxy := s.links[name]
	for _, t := range toxics {
		encoded, err := json.Marshal(t)
		if err != nil {
			return nil, err
		}
		if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(string(encoded))); err != nil {
			return nil, err
		}
	}
	return func() error { proxy.Toxics.ResetToxics(context.Background()); return nil }, nil
}

// start runs a process under a name; its links are those of its role.
func (s *system) start(ctx context.Context, name, role string) error {
	p, err := process.Start(ctx, s.environment(name, role), s.program, "serve", role)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes[name] = p
	return nil
}

func (s *system) environment(name, role string) []string {
	database, _ := url.Parse(s.database.ConnString())
	database.Host = s.links[role+"-postgres"].Listen
	env := []string{
		"EventStore__ConnectionString=" + database.String(), "WaitingRoom__MaxCapacity=100000", "RLAPP_FAULTS_RECORDER=" + s.recorder.url,
		"RLAPP_FAULTS_LOG=" + filepath.Join(s.logs, name+".log"), "Projections__Address=127.0.0.1:0", "Worker__Address=127.0.0.1:0", "Logging__Format=json",
	}
	if name == "api" {
		env = append(env, "Api__Address="+s.apiAddress)
	}
	if link := s.links[role+"-rabbitmq"]; link != nil {
		host, port, _ := net.SplitHostPort(link.Listen)
		env = append(env, "RabbitMq__HostName="+host, "RabbitMq__Port="+port)
	}
	return env
}

func (s *system) process(name string) *process.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.processes[name]
}

// kill ends a process as a crash would.
func (s *system) kill(name string) error { return s.process(name).Kill() }

// restart starts a process again that has ended.
func (s *system) restart(ctx context.Context, role string) error { return s.start(ctx, role, role) }

// end lets a process end in good order.
func (s *system) end(name string) error {
	s.mu.Lock()
	p := s.processes[name]
	delete(s.processes, name)
	s.mu.Unlock()
	return p.Stop()
}

// alive reports a process that has ended by itself.
func (s *system) alive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, p := range s.processes {
		errs = append(errs, p.Ended())
	}
	return errors.Join(errs...)
}

// hold keeps a table locked until release: EXCLUSIVE lets others read.
func (s *system) hold(ctx context.Context, table string) (release func() error, err error) {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, "LOCK TABLE "+table+" IN EXCLUSIVE MODE"); err != nil {
		return nil, errors.Join(err, tx.Rollback(ctx))
	}
	return func() error { return tx.Rollback(context.WithoutCancel(ctx)) }, nil
}

// waiting waits until some session of an application waits for a lock, for as long as
// no client gives up.
func (s *system) waiting(ctx context.Context, application string) error {
	return until(ctx, clientTimeout/2, func() (is bool, err error) {
		err = s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock')", application).Scan(&is)
		return is, err
	})
}

// exec runs a statement past the links.
func (s *system) exec(ctx context.Context, statement string, args ...any) error {
	_, err := s.pool.Exec(ctx, statement, args...)
	return err
}

// onBroker does something on a channel of its own, past the links.
func (s *system) onBroker(do func(*amqp.Channel) error) error {
	conn, err := amqp.Dial(s.broker.URL())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	return do(channel)
}

// ask sends an operator's order to the API.
func (s *system) ask(ctx context.Context, method, path, body string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, s.api()+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s", method, path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

func (s *system) close() error {
	var errs []error
	s.mu.Lock()
	for _, p := range s.processes {
		errs = append(errs, p.Kill())
	}
	s.mu.Unlock()
	for _, proxy := range s.links {
		proxy.Stop()
	}
	if s.recorder != nil {
		errs = append(errs, s.recorder.close())
	}
	if s.pool != nil {
		s.pool.Close()
	}
	if s.broker != nil {
		errs = append(errs, s.broker.Stop())
	}
	if s.database != nil {
		errs = append(errs, s.database.Stop(context.Background()))
	}
	if !s.keepLogs {
		errs = append(errs, os.RemoveAll(s.logs))
	}
	return errors.Join(errs...)
}

// lateError says that something has not come true in time.
type lateError struct{ limit time.Duration }

func (e *lateError) Error() string { return fmt.Sprintf("not within %v", e.limit) }

// until asks again and again until done, at most for limit. Then it returns *lateError,
// with the last error.
func until(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		is, err := done()
		if is && err == nil {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return errors.Join(&lateError{limit}, err, ctx.Err())
		}
		pause(ctx, 20*time.Millisecond)
	}
}
