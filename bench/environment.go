package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rlapp/rlapp/bench/process"
	"github.com/rlapp/rlapp/bench/stock"
)

// environment is what the figures depend on.
type environment struct {
	Date       string            `json:"date"`
	CPU        string            `json:"cpu"`
	Cores      int               `json:"cores"`
	MemoryGiB  int               `json:"memoryGiB"`
	Kernel     string            `json:"kernel"`
	Go         string            `json:"go"`
	PostgreSQL string            `json:"postgresql"`
	RabbitMQ   string            `json:"rabbitmq"`
	Commit     string            `json:"commit"`
	Peers      map[string]string `json:"peers"`
	// FlushMicroseconds is the median of writing 8 kB and flushing them, as a commit does.
	FlushMicroseconds float64 `json:"flushMicroseconds"`
	// WakeUpMicroseconds is the median of waking a thread on another processor and
	// being woken by it; SlowWakeUpMicroseconds the slowest of a thousand.
	WakeUpMicroseconds     float64           `json:"wakeUpMicroseconds"`
	SlowWakeUpMicroseconds float64           `json:"slowWakeUpMicroseconds"`
	Settings               map[string]string `json:"settings"`
}

// identity is what must be the same for rounds to be put together.
func (e environment) identity() string {
	return fmt.Sprintf("commit %s on %s with %d cores, Linux %s, %s, PostgreSQL %s, RabbitMQ %s",
		e.Commit, e.CPU, e.Cores, e.Kernel, e.Go, e.PostgreSQL, e.RabbitMQ)
}

// libraries lists what the peers are made of, with versions.
func (e environment) libraries() string {
	var all []string
	for _, module := range slices.Sorted(maps.Keys(e.Peers)) {
		_, short, _ := strings.Cut(strings.TrimPrefix(module, "github.com/"), "/")
		all = append(all, short+" "+e.Peers[module])
	}
	return strings.Join(all, ", ")
}

// wakeUps says what it costs to hand work to another core and back.
func (e environment) wakeUps() string {
	if e.WakeUpMicroseconds == 0 {
		return ""
	}
	return fmt.Sprintf(", work handed to another core and back %.0f µs, and %.0f µs one time in a thousand", e.WakeUpMicroseconds, e.SlowWakeUpMicroseconds)
}

// mustBeOn are the settings without which a figure would be worth nothing: a commit
// that is not flushed is not a commit.
var mustBeOn = []string{"fsync", "synchronous_commit", "full_page_writes"}

// checkSettings refuses settings under which acknowledged events could be lost.
func checkSettings(settings map[string]string) error {
	var errs []error
	for _, name := range mustBeOn {
		if settings[name] != "on" {
			errs = append(errs, fmt.Errorf("%s is %q: refusing to measure what a crash would lose", name, settings[name]))
		}
	}
	if settings["confirms"] != "on" {
		errs = append(errs, errors.New("a contender publishes without confirms: refusing to measure what a broker would lose"))
	}
	return errors.Join(errs...)
}

func (l *lab) environment(ctx context.Context) (environment, error) {
	e := environment{
		Date: time.Now().UTC().Format(time.RFC3339), Cores: runtime.NumCPU(), Go: runtime.Version(),
		CPU: match("/proc/cpuinfo", `model name\s*: (.*)`), Kernel: strings.TrimSpace(read("/proc/sys/kernel/osrelease")),
		Commit: process.Commit(ctx, results, page), Peers: map[string]string{}, Settings: map[string]string{},
	}
	kib, _ := strconv.Atoi(match("/proc/meminfo", `MemTotal:\s*(\d+)`))
	e.MemoryGiB = kib >> 20
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if strings.HasPrefix(m.Path, "github.com/ThreeDotsLabs/watermill") || strings.HasSuffix(m.Path, "amqp091-go") {
				e.Peers[m.Path] = m.Version
			}
		}
	}
	conn, err := pgx.Connect(ctx, l.server.ConnString())
	if err != nil {
		return e, err
	}
	defer func() { _ = conn.Close(ctx) }()
	names := append([]string{"server_version", "shared_buffers", "max_wal_size", "min_wal_size", "wal_sync_method", "track_commit_timestamp"}, mustBeOn...)
	for _, name := range names {
		var value string
		if err := conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return e, err
		}
		e.Settings[name] = value
	}
	e.PostgreSQL = e.Settings["server_version"]
	delete(e.Settings, "server_version")
	e.Settings["confirms"] = "off"
	if (stock.Config{}).Confirms() && (stock.Config{Tuned: true}).Confirms() {
		e.Settings["confirms"] = "on" // RLAPP's publisher knows no other way
	}
	if version, err := l.broker.Ctl(ctx, "version"); err == nil {
		e.RabbitMQ = strings.TrimSpace(version)
	}
	took, err := flushes(l.dir, 2000)
	if err != nil {
		return e, err
	}
	e.FlushMicroseconds = percentile(slices.Sorted(slices.Values(took)), 0.5)
	if wakes := wakeUps(20_000); len(wakes) > 0 {
		slices.Sort(wakes)
		e.WakeUpMicroseconds, e.SlowWakeUpMicroseconds = percentile(wakes, 0.5), percentile(wakes, 0.999)
	}
	return e, checkSettings(e.Settings)
}

// postgresProgram finds a program that comes with the server.
func postgresProgram(name string) string {
	dir := output("pg_config", "--bindir")
	if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
		return filepath.Join(dir, name)
	}
	if found, _ := filepath.Glob(filepath.Join("/usr/lib/postgresql/*/bin", name)); len(found) > 0 {
		return found[len(found)-1]
	}
	return name
}

func output(program string, args ...string) string {
	out, err := exec.Command(program, args...).Output() //nolint:noctx // at once
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func read(path string) string {
	content, _ := os.ReadFile(path)
	return string(content)
}

// match returns the first group of the first line of a file that matches.
func match(path, pattern string) string {
	expression := regexp.MustCompile(pattern)
	lines := bufio.NewScanner(strings.NewReader(read(path)))
	for lines.Scan() {
		if found := expression.FindStringSubmatch(lines.Text()); found != nil {
			return strings.TrimSpace(found[1])
		}
	}
	return ""
}
