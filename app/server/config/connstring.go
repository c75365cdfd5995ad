package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ConnectionStringError is returned for a connection string that cannot be used.
type ConnectionStringError struct {
	// Problem names the keyword and what is wrong. No value is in it, since a
	// password that is not quoted can end up as any other one's.
	Problem string
}

func (e *ConnectionStringError) Error() string { return "connection string: " + e.Problem }

func malformed(format string, args ...any) error {
	return &ConnectionStringError{Problem: fmt.Sprintf(format, args...)}
}

// ParseConnectionString reads a PostgreSQL connection string in one of three
// forms and returns it as a URL for pgx:
//
//   - .NET: Host=db;Port=5432;Database=rlapp;User=rlapp;Password="a;b"
//   - libpq: host=db port=5432 dbname=rlapp user=rlapp password='a b'
//   - URL: postgres://rlapp:a%3Bb@db:5432/rlapp
//
// Each form takes the keywords of docs/configuration.md, in any case. Several
// hosts are separated by commas. It returns *ConnectionStringError for an unknown
// keyword and for a value that is not accepted.
func ParseConnectionString(s string) (string, error) {
	c, err := readConnection(s)
	if err != nil {
		return "", err
	}
	u := c.url()
	if _, err := pgconn.ParseConfig(u); err != nil {
		// pgx may quote parts of the string.
		var file *fs.PathError
		if errors.As(err, &file) {
			return "", malformed("%s cannot be read: %v", file.Path, file.Err)
		}
		return "", malformed("the PostgreSQL driver does not accept its values")
	}
	return u, nil
}

// connection is what a connection string says: values by pgx's names.
type connection struct{ parameters map[string]string }

// readConnection reads any form and checks keywords and values.
func readConnection(s string) (connection, error) {
	var (
		words []word
		err   error
	)
	switch {
	case strings.ContainsRune(s, 0):
		err = malformed("it has a NUL byte")
	case strings.HasPrefix(s, "postgres://"), strings.HasPrefix(s, "postgresql://"):
		words, err = readURL(s)
	default:
		words, err = readWords(s)
	}
	if err != nil {
		return connection{}, err
	}
	c := connection{parameters: map[string]string{}}
	return c, c.take(words)
}

// take checks the words and keeps their values.
func (c connection) take(words []word) error {
	var errs []error
	afterPassword := false // what follows may be a piece of it
	for _, w := range words {
		name, known := keywords[squash(w.keyword)]
		switch {
		case slices.Contains(unsupported, squash(w.keyword)):
			errs = append(errs, malformed("%s is not supported; leave it out", w.keyword))
		case !known && afterPassword:
			errs = append(errs, malformed("what follows Password is no keyword; put a password with a semicolon, a space or a quote in quotes"))
		case !known:
			errs = append(errs, malformed("unknown keyword %q%s", w.keyword, didYouMean(w.keyword, spellings())))
		case c.parameters[name] != "":
			errs = append(errs, malformed("%s is given twice", w.keyword))
		default:
			afterPassword = name == "password"
			if name == "" || w.value == "" {
				continue // without a meaning here, or not set
			}
			value, accepts := accept(name, w.value)
			if accepts != "" {
				errs = append(errs, malformed("%s must be %s", w.keyword, accepts))
			}
			c.parameters[name] = value
		}
	}
	if c.parameters["host"] == "" && len(errs) == 0 {
		errs = append(errs, malformed("Host is missing"))
	}
	return joinProblems(errs)
}

// joinProblems makes one error of several, on one line.
func joinProblems(errs []error) error {
	var problems []string
	for _, err := range errs {
		var e *ConnectionStringError
		if errors.As(err, &e) && !slices.Contains(problems, e.Problem) {
			problems = append(problems, e.Problem)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return malformed("%s", strings.Join(problems, "; "))
}

// url is the connection as pgx and libpq read it.
func (c connection) url() string {
	var hosts []string
	ports := strings.Split(c.parameters["port"], ",")
	for i, host := range strings.Split(c.parameters["host"], ",") {
		inline, port := splitPort(host)
		if port == "" {
			port = ports[min(i, len(ports)-1)]
		}
		hosts = append(hosts, hostPort(inline, port))
	}
	u := "postgres://"
	if user := c.parameters["user"]; user != "" || c.parameters["password"] != "" {
		u += escape(user)
		if password := c.parameters["password"]; password != "" {
			u += ":" + escape(password)
		}
		u += "@"
	}
	u += strings.Join(hosts, ",") + "/" + escape(c.parameters["database"])
	join := "?"
	for _, name := range slices.Sorted(maps.Keys(c.parameters)) {
		switch name {
		case "host", "port", "user", "password", "database":
		default:
			u += join + name + "=" + escape(c.parameters[name])
			join = "&"
		}
	}
	return u
}

// splitPort splits a port off a host, where it has one.
func splitPort(host string) (name, port string) {
	if name, port, err := net.SplitHostPort(host); err == nil {
		return name, port
	}
	return strings.Trim(host, "[]"), ""
}

func hostPort(host, port string) string {
	switch {
	case strings.Contains(host, ":"):
		host = "[" + strings.ReplaceAll(host, "%", "%25") + "]" // the % of a zone
	default:
		host = escape(host) // a socket directory has slashes
	}
	if port != "" {
		host += ":" + port
	}
	return host
}

// escape encodes everything that could mean something in a URL.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
