package embedded

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// debian is where Debian's packages keep the binaries of each major version.
const debian = "/usr/lib/postgresql/*/bin"

// search says where PostgreSQL's binaries may be.
type search struct {
	only     string   // if set, the only directory to look at
	globs    []string // besides pg_config and PATH
	download func(ctx context.Context, major string) (dir string, err error)
}

// binaries returns the directory with the binaries for the data: of their major
// version, or for new data the first that there are. It fails with *NotFoundError
// or *VersionError.
func (d directory) binaries(ctx context.Context, s search) (string, error) {
	major, err := d.major()
	if err != nil {
		return "", err
	}
	var tried, found []string
	for _, dir := range s.places(ctx) {
		version, err := d.version(ctx, dir)
		if err != nil {
			tried = append(tried, fmt.Sprintf("%s: %v", dir, err))
			continue
		}
		if major == "" || version == major {
			return dir, nil
		}
		found = append(found, fmt.Sprintf("PostgreSQL %s in %s", version, dir))
	}
	var failure error
	if s.only == "" {
		tried = append(tried, "`pg_config --bindir`, "+strings.Join(s.globs, ", ")+" and PATH: no other PostgreSQL")
	}
	if s.only == "" && s.download != nil {
		var dir string
		if dir, failure = s.download(ctx, major); failure == nil {
			if _, failure = d.version(ctx, dir); failure == nil {
				return dir, nil
			}
		}
	}
	if len(found) > 0 {
		return "", &VersionError{DataDirectory: d.path, Data: major, Found: found, Download: failure}
	}
	return "", &NotFoundError{Tried: tried, Download: failure}
}

// places lists the directories to look at, best first.
func (s search) places(ctx context.Context) []string {
	if s.only != "" {
		return []string{s.only}
	}
	var dirs []string
	if dir, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(dir)))
	}
	for _, glob := range s.globs {
		matches, _ := filepath.Glob(glob) // fails for a malformed pattern only
		slices.SortFunc(matches, newestFirst)
		dirs = append(dirs, matches...)
	}
	if program, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(program))
	}
	return slices.Compact(dirs)
}

// newestFirst orders directories such as /usr/lib/postgresql/15/bin.
func newestFirst(a, b string) int {
	number := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		return n
	}
	return number(b) - number(a)
}

var versionOutput = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// version returns the major version of the binaries in a directory. It runs them
// as the server will run, so it also finds out that they may not be used.
func (d directory) version(ctx context.Context, bin string) (string, error) {
	if _, err := exec.LookPath(filepath.Join(bin, "initdb")); err != nil {
		return "", errors.New("has no initdb")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version")
	cmd.SysProcAttr = d.account.attributes()
	cmd.Env = environment()
	cmd.Dir = "/"
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cannot be run as %s: %w", d.account, err)
	}
	match := versionOutput.FindSubmatch(output)
	if match == nil {
		return "", fmt.Errorf("does not tell its version: %q", output)
	}
	return string(match[1]), nil
}
