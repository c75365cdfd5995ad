package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rlapp/rlapp/adapters/postgres/embedded"
)

// externalURL names the variable with the server to use where PostgreSQL is not
// installed.
const externalURL = "RLAPP_TEST_POSTGRES_URL"

// startTimeout bounds initdb and the start, which take about 1.5 s on an idle
// machine.
const startTimeout = 2 * time.Minute

// Option changes the server of a test binary.
type Option func(*embedded.Config)

// Parameter sets a parameter as in postgresql.conf. An external server ignores
// it.
func Parameter(name, value string) Option {
	return func(c *embedded.Config) { c.Parameters[name] = value }
}

// Runner runs the tests of a binary. *testing.M is one, as is what Wrap returns.
type Runner interface{ Run() int }

// Main starts the server, runs the tests, stops the server and returns the exit
// code for os.Exit.
func Main(m Runner, options ...Option) int { return Wrap(m, options...).Run() }

// Wrap returns a Runner that does what Main does. It is for those who wrap the
// run themselves, such as goleak.
func Wrap(m Runner, options ...Option) Runner { return wrapped{m, options} }

type wrapped struct {
	tests   Runner
	options []Option
}

func (w wrapped) Run() int {
	if current != nil {
		return complain(errors.New("this test binary has a server already"))
	}
	var err error
	if current, err = open(w.options); err != nil {
		return complain(err)
	}
	code := w.tests.Run()
	err = current.close()
	current = nil
	if err != nil {
		return max(code, complain(err))
	}
	return code
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "PostgreSQL of the tests:", err)
	return 1
}

// current is the server of this test binary.
var current *server

// server is the test binary's: its own, or an external one.
type server struct {
	private   *embedded.Server // nil when external
	directory string           // of the private one
	external  string           // the connection string
	templates templates
}

func open(options []Option) (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	removeAbandoned()
	directory, err := newDirectory()
	if err != nil {
		return nil, err
	}
	config := embedded.Config{
		DataDirectory: directory,
		NoDownload:    true,
		Parameters:    map[string]string{"max_connections": "200"},
	}
	for _, option := range options {
		option(&config)
	}
	private, err := embedded.Start(ctx, config)
	if err == nil {
		return &server{private: private, directory: directory}, nil
	}
	err = errors.Join(err, os.RemoveAll(directory))
	missing := (*embedded.NotFoundError)(nil)
	if !errors.As(err, &missing) {
		return nil, err
	}
	if given := os.Getenv(externalURL); given != "" {
		return &server{external: given}, nil
	}
	return nil, fmt.Errorf("run the test command of README.md, which installs what is missing, "+
		"or set %s to a server with a superuser's credentials: %w", externalURL, err)
}

// admin is how to reach the server itself, in the database that it came with.
func (s *server) admin() string {
	if s.private != nil {
		return s.private.ConnString()
	}
	return s.external
}

func (s *server) close() error {
	if s.private == nil {
		return s.templates.drop(s)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return errors.Join(s.private.Stop(ctx), os.RemoveAll(s.directory))
}
