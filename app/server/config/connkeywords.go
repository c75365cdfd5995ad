package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// keyword is one word of a connection string.
type keyword struct {
	npgsql  string
	pgx     string // "" where it means nothing to pgx
	aliases []string
	doc     string
}

// connectionKeywords are the keywords that ParseConnectionString takes. The
// names of libpq are taken too, and all without regard to case, spaces and
// underscores. Source: https://www.npgsql.org/doc/connection-string-parameters.html and
// https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-PARAMKEYWORDS
var connectionKeywords = []keyword{
	{"Host", "host", []string{"Server"}, "Host name, IP address or directory of a socket; several with commas between them are tried in turn, each may have a port of its own: `a:5432,b:5433`. Required."},
	{"Port", "port", nil, "Port. Default 5432."},
	{"Database", "database", []string{"DB", "dbname"}, "Database. Default: the user's name."},
	{"Username", "user", []string{"User", "User Id", "UID"}, "User."},
	{"Password", "password", []string{"PWD", "PSW"}, "Password."},
	{"Passfile", "passfile", nil, "File with passwords, as libpq's `.pgpass`."},
	{"SSL Mode", "sslmode", nil, "`disable`, `allow`, `prefer` (default), `require`, `verify-ca` or `verify-full`; also as `VerifyFull`."},
	{"Root Certificate", "sslrootcert", nil, "File with the certificates that the server's must come from."},
	{"SSL Certificate", "sslcert", nil, "File with the client's certificate."},
	{"SSL Key", "sslkey", nil, "File with its key."},
	{"SSL Password", "sslpassword", nil, "Password of the key."},
	{"Trust Server Certificate", "", nil, "Taken and ignored: SSL Mode says whether the certificate is checked, as since Npgsql 8."},
	{"Channel Binding", "channel_binding", nil, "`disable`, `prefer` (default) or `require`."},
	{"Maximum Pool Size", "pool_max_conns", []string{"Max Pool Size"}, "The most connections of one process, unless EventStore__MaxConnections says it."},
	{"Minimum Pool Size", "pool_min_conns", []string{"Min Pool Size"}, "Connections that are kept open. Default 0."},
	{"Timeout", "connect_timeout", []string{"Connection Timeout"}, "Seconds that connecting may take."},
	{"Application Name", "application_name", nil, "Name that PostgreSQL shows for the connections."},
	{"Search Path", "search_path", nil, "Schemas that tables are looked for in."},
	{"Options", "options", nil, "Settings of the server, such as `-c statement_timeout=60s`."},
	{"Target Session Attributes", "target_session_attrs", nil, "With several hosts, which to take: `any` (default), `primary`, `standby`, `prefer-standby`, `read-write` or `read-only`."},
}

// unsupported are further keywords of Npgsql, squashed. An error can name them
// wherever they stand, since nobody has them for a password.
var unsupported = []string{
	"pooling", "connectionidlelifetime", "connectionpruninginterval", "connectionlifetime", "keepalive", "tcpkeepalive",
	"commandtimeout", "internalcommandtimeout", "cancellationtimeout", "maxautoprepare", "autoprepareminusages",
	"noresetonclose", "includeerrordetail", "persistsecurityinfo", "logparameters", "multiplexing", "enlist", "timezone",
	"encoding", "clientencoding", "checkcertificaterevocation", "loadbalancehosts", "hostrecheckseconds",
	"kerberosservicename", "integratedsecurity", "servercompatibilitymode", "readbuffersize", "writebuffersize",
}

// keywords are the names of pgx by every spelling.
var keywords = func() map[string]string {
	byName := map[string]string{}
	for _, k := range connectionKeywords {
		for _, name := range append([]string{k.npgsql, k.pgx}, k.aliases...) {
			byName[squash(name)] = k.pgx
		}
	}
	delete(byName, "")
	return byName
}()

// spellings are the keywords as one would write them.
func spellings() []string {
	var names []string
	for _, k := range connectionKeywords {
		names = append(append(names, k.npgsql), k.aliases...)
	}
	return names
}

// squash makes spellings comparable: "User Id", "userid" and "USER_ID" are one.
func squash(keyword string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "_", "").Replace(keyword))
}

var sslModes = map[string]string{
	"disable": "disable", "allow": "allow", "prefer": "prefer", "require": "require",
	"verifyca": "verify-ca", "verifyfull": "verify-full",
}

// accept returns a value as pgx takes it, or what would be accepted.
func accept(name, value string) (accepted, accepts string) {
	switch name {
	case "host":
		return value, acceptHosts(value)
	case "port":
		for port := range strings.SplitSeq(value, ",") {
			if checkWhole(port, "1", "65535") != nil {
				return "", "a whole number from 1 to 65535"
			}
		}
	case "sslmode":
		mode, ok := sslModes[strings.ReplaceAll(squash(value), "-", "")]
		if !ok {
			return "", "one of " + strings.Join(slices.Sorted(maps.Values(sslModes)), ", ")
		}
		return mode, ""
	case "channel_binding", "target_session_attrs":
		return strings.ToLower(value), ""
	case "pool_max_conns":
		return acceptWhole(value, 1)
	case "pool_min_conns", "connect_timeout":
		return acceptWhole(value, 0)
	}
	return value, ""
}

func acceptWhole(value string, least int) (accepted, accepts string) {
	low, high := strconv.Itoa(least), "10000"
	if checkWhole(value, low, high) != nil {
		return "", "a whole number from " + low + " to " + high
	}
	return value, ""
}

func acceptHosts(value string) (accepts string) {
	for host := range strings.SplitSeq(value, ",") {
		name, port := splitPort(host)
		if !strings.HasPrefix(name, "/") && checkHost(name) != nil {
			return "a host name, an IP address or the directory of a socket; several with commas between them"
		}
		if port != "" && checkWhole(port, "1", "65535") != nil {
			return "followed by a port from 1 to 65535, if by any"
		}
	}
	return ""
}
