package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// downloadMajor is fetched for new data: the major version of docker-compose.yml.
const downloadMajor = "16"

// releases are the versions that can be fetched, by major version.
var releases = map[string]embeddedpostgres.PostgresVersion{
	"13": embeddedpostgres.V13,
	"14": embeddedpostgres.V14,
	"15": embeddedpostgres.V15,
	"16": embeddedpostgres.V16,
	"17": embeddedpostgres.V17,
	"18": embeddedpostgres.V18,
}

// downloaded is a directory below the cache that holds one directory a major
// version, as Debian's /usr/lib/postgresql does.
func downloaded(cache string) string { return filepath.Join(cache, "postgresql") }

// downloader fetches binaries from a Maven repository into the cache.
func downloader(cache, url string) func(ctx context.Context, major string) (string, error) {
	return func(ctx context.Context, major string) (string, error) {
		if major == "" {
			major = downloadMajor
		}
		release, known := releases[major]
		if !known {
			return "", fmt.Errorf("no PostgreSQL %s is offered for download", major)
		}
		// The library takes no context. Its download goes on when ours ends, and
		// what it fetched is then of no use to anybody.
		type result struct {
			dir string
			err error
		}
		fetched := make(chan result, 1)
		go func() {
			dir, err := fetch(downloaded(cache), url, major, release)
			fetched <- result{dir, err}
		}()
		select {
		case r := <-fetched:
			return r.dir, r.err
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// fetch downloads and extracts a release. Its directory appears complete or not
// at all; of several processes at once, one provides it.
func fetch(parent, url, major string, release embeddedpostgres.PostgresVersion) (string, error) {
	final := filepath.Join(parent, major)
	if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // programs that anybody may run
		return "", err
	}
	work, err := os.MkdirTemp(parent, "fetch-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()

	extracted := filepath.Join(work, "extracted")
	// The library fetches only on its way to a server. We start our own, so an
	// encoding that does not exist ends that way after the fetch.
	library := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(release).BinaryRepositoryURL(url).
		CachePath(work).BinariesPath(extracted).RuntimePath(filepath.Join(work, "runtime")).
		Port(0).Encoding("none").Logger(io.Discard))
	if err := library.Start(); err == nil {
		return "", errors.Join(errors.New("embedded-postgres started a server of its own"), library.Stop())
	} else if _, missing := os.Stat(filepath.Join(extracted, "bin", "postgres")); missing != nil {
		return "", fmt.Errorf("PostgreSQL %s from %s: %w", release, url, err)
	}
	if err := os.Rename(extracted, final); err != nil {
		if _, other := os.Stat(filepath.Join(final, "bin", "postgres")); other != nil {
			return "", err
		}
	}
	return filepath.Join(final, "bin"), nil
}
