package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
)

// Config describes a private server. The zero value is ready for use.
type Config struct {
	// DataDirectory is where everything of the server is kept. It is created when
	// missing. Started by root, the server's own user must be able to reach it, and
	// it becomes passable (not readable) for everyone.
	// Default: rlapp/postgres below $XDG_DATA_HOME or ~/.local/share; for root
	// /var/lib/rlapp/postgres, since the server could not read /root.
	DataDirectory string
	// BinDirectory is where initdb and postgres are; nowhere else is looked, and
	// nothing is downloaded, when it is set.
	// Default: the first of `pg_config --bindir`, the newest
	// /usr/lib/postgresql/*/bin and PATH that fits the data, else a download.
	BinDirectory string
	// Port on loopback. Default: a free one, chosen at each start below the range
	// that the kernel gives to outgoing connections.
	Port int
	// Parameters are settings as in postgresql.conf. Those that decide who can
	// reach the server cannot be set. Default: none.
	Parameters map[string]string
	// Logger receives the server's own log at debug level, without statements and
	// without the values in them. Default: nothing is logged.
	Logger *slog.Logger
	// NoDownload forbids to fetch PostgreSQL from DownloadURL where the machine
	// has none. Default: it is fetched, once, into the user's cache directory
	// (/var/cache/rlapp for root).
	NoDownload bool
	// DownloadURL is a Maven repository with zonky's embedded-postgres-binaries.
	// Default: https://repo1.maven.org/maven2.
	DownloadURL string
}

// ours are the parameters that this package sets itself.
var ours = []string{"data_directory", "hba_file", "listen_addresses", "port", "unix_socket_directories"}

var parameterName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_.]*$`)

func (c Config) validate() error {
	var errs []error
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d: must be 0 to 65535", c.Port))
	}
	for name := range c.Parameters {
		if !parameterName.MatchString(name) {
			errs = append(errs, fmt.Errorf("parameter %q: no name of a PostgreSQL parameter", name))
		}
	}
	for _, name := range ours {
		if _, set := c.Parameters[name]; set {
			errs = append(errs, fmt.Errorf("parameter %s: set by this package", name))
		}
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() (Config, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.DownloadURL == "" {
		c.DownloadURL = "https://repo1.maven.org/maven2"
	}
	if c.DataDirectory == "" {
		shared, err := sharedDirectory()
		if err != nil {
			return c, fmt.Errorf("no data directory is configured: %w", err)
		}
		c.DataDirectory = filepath.Join(shared, "rlapp", "postgres")
	}
	var err error
	c.DataDirectory, err = filepath.Abs(c.DataDirectory)
	return c, err
}

// sharedDirectory is where programs keep their data.
func sharedDirectory() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "share"), err
}

// cacheDirectory is where downloaded binaries are kept.
func cacheDirectory() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/rlapp", nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "rlapp"), err
}
