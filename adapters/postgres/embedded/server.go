package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Server is a running private PostgreSQL. Its methods are safe for concurrent
// use.
type Server struct {
	config    Config
	directory directory
	bin       string
	password  string
	port      int

	mu   sync.Mutex // held while the server is started or ended
	lock *os.File   // nil after Stop

	process atomic.Pointer[process] // the latest
}

// Start starts a server and returns when it accepts connections. Data that exist
// are used again, which takes some 0.2 s; new ones take a few seconds. It creates
// the database rlapp.
//
// It fails with *NotFoundError when there are no binaries, *VersionError when
// there are none for the data, *InUseError when another process has the data, and
// else with the last lines of the server's log. Whoever gets a Server must Stop
// it.
func Start(ctx context.Context, config Config) (*Server, error) {
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("private PostgreSQL: %w", err)
	}
	s, err := prepare(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("private PostgreSQL: %w", err)
	}
	if err := s.launchAnywhere(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("private PostgreSQL: %w", err), s.lock.Close())
	}
	return s, nil
}

// prepare does everything up to the server's start.
func prepare(ctx context.Context, config Config) (s *Server, err error) {
	if config, err = config.withDefaults(); err != nil {
		return nil, err
	}
	d, err := openDirectory(config.DataDirectory)
	if err != nil {
		return nil, err
	}
	lock, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	bin, err := d.binaries(ctx, places(config))
	if err != nil {
		return nil, err
	}
	if err := d.endOrphan(ctx); err != nil {
		return nil, err
	}
	if major, err := d.major(); err != nil {
		return nil, err
	} else if major == "" {
		if err := d.initialize(ctx, config.Logger, bin); err != nil {
			return nil, err
		}
	}
	password, err := d.password()
	if err != nil {
		return nil, err
	}
	return &Server{config: config, directory: d, bin: bin, password: password, lock: lock}, nil
}

func places(config Config) search {
	s := search{only: config.BinDirectory, globs: []string{debian}}
	cache, err := cacheDirectory()
	if err == nil {
		s.globs = append(s.globs, filepath.Join(downloaded(cache), "*", "bin"))
	}
	switch {
	case config.NoDownload:
	case err != nil: // a user without a home
		s.download = func(context.Context, string) (string, error) { return "", err }
	default:
		s.download = downloader(cache, config.DownloadURL)
	}
	return s
}

// ConnString is how to reach the database rlapp as the server's superuser. It
// contains the password. Unless Config.Port is set it holds until Stop only.
func (s *Server) ConnString() string { return s.connString(database) }

func (s *Server) connString(name string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, s.password),
		Host:     "127.0.0.1:" + strconv.Itoa(s.port),
		Path:     name,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Done is closed when the server ended, for whatever reason. After a Restart, it
// is another channel.
func (s *Server) Done() <-chan struct{} { return s.process.Load().done }

// Err tells why the server ended; nil while it runs, and when Stop or Restart
// ended it.
func (s *Server) Err() error { return s.process.Load().death() }

// Stop ends the server, disconnecting its clients, and gives the data directory
// free. It takes at most 25 s and leaves nothing running. The error says that the
// server had to be forced, since the context ended or 20 s were over: no data are
// lost then, but the next start has to recover them. Stopping again does nothing.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil
	}
	err := errors.Join(s.process.Load().shutdown(ctx), s.lock.Close())
	s.lock = nil
	return err
}

// Kill ends the server as a crash would, by SIGKILL, and returns when it is gone.
// It is for tests. After Stop it returns ErrStopped.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return ErrStopped
	}
	return s.process.Load().kill()
}

// Restart starts the server again, on the same port and data, and returns when it
// accepts connections. A server that runs is stopped first. After Stop it returns
// ErrStopped.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return ErrStopped
	}
	if err := s.process.Load().shutdown(ctx); err != nil {
		return err
	}
	return s.launch(ctx)
}

// portAttempts is how often another port is chosen when somebody takes the chosen
// one before the server does.
const portAttempts = 3

// launchAnywhere starts the server's process on the configured port, or else on a
// free one.
func (s *Server) launchAnywhere(ctx context.Context) error {
	if s.config.Port != 0 {
		s.port = s.config.Port
		return s.launch(ctx)
	}
	for attempt := 1; ; attempt++ {
		var err error
		if s.port, err = freePort(ctx); err != nil {
			return err
		}
		if err = s.launch(ctx); err == nil || attempt == portAttempts || available(ctx, s.port) {
			return err
		}
	}
}

// launch starts the server's process and waits until it accepts connections.
func (s *Server) launch(ctx context.Context) error {
	began := time.Now()
	// A fast shutdown: what remains needs no recovery.
	p, err := start(s.directory.account, syscall.SIGINT, s.config.Logger, filepath.Join(s.bin, "postgres"), s.arguments()...)
	if err != nil {
		return err
	}
	if err := s.ready(ctx, p); err != nil {
		// Nothing was committed yet that would need a checkpoint.
		return errors.Join(err, p.kill())
	}
	s.process.Store(p)
	s.config.Logger.LogAttrs(ctx, slog.LevelInfo, "Private PostgreSQL is ready", slog.String("data_directory", s.directory.path),
		slog.String("binaries", s.bin), slog.Int("port", s.port), slog.Duration("took", time.Since(began)))
	return nil
}

func (s *Server) arguments() []string {
	args := []string{"-D", s.directory.data()}
	set := func(name, value string) { args = append(args, "-c", name+"="+value) }
	// The server's log must not show a patient: no statements, no details.
	set("log_min_error_statement", "panic")
	set("log_error_verbosity", "terse")
	for _, name := range slices.Sorted(maps.Keys(s.config.Parameters)) {
		set(name, s.config.Parameters[name])
	}
	set("listen_addresses", "127.0.0.1")
	set("port", strconv.Itoa(s.port))
	set("unix_socket_directories", "")
	return args
}
