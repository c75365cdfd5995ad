package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/rlapp/rlapp/app/server/config"
)

func TestParseConnectionString(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"the guide's", "Host=postgres.prod;Database=rlapp_events;User=rlapp_prod;Password=***", "postgres://rlapp_prod:%2A%2A%2A@postgres.prod/rlapp_events"},
		{"the compose stack's", "Host=127.0.0.1;Port=5432;Database=rlapp;User=rlapp;Password=rlapp-local", "postgres://rlapp:rlapp-local@127.0.0.1:5432/rlapp"},
		{
			"all of .NET", " Host = db ; PORT=5433; Database=my db;User Id=me;Password=\"a;\"\"b' \";SSL Mode=VerifyFull;Root Certificate='';Maximum Pool Size=20;Minimum Pool Size=0;Timeout=15;Application Name=it's me;Search Path=a,b;Trust Server Certificate=true;",
			"postgres://me:a%3B%22b%27%20@db:5433/my%20db?application_name=it%27s%20me&connect_timeout=15&pool_max_conns=20&pool_min_conns=0&search_path=a%2Cb&sslmode=verify-full",
		},
		{"aliases", "server=db;db=x;uid=me;pwd='a''b'", "postgres://me:a%27b@db/x"},
		{"a password with =", "Host=db;Password=a=b==", "postgres://:a%3Db%3D%3D@db/"},
		{"only a host", "Host=db", "postgres://db/"},
		{"several hosts", "Host=a:1,b,[::1]:3;Port=2;Target Session Attributes=Primary", "postgres://a:1,b:2,[::1]:3/?target_session_attrs=primary"},
		{"IPv6", "Host=fe80::1%eth0;Port=1", "postgres://[fe80::1%25eth0]:1/"},
		{"a socket", "Host=/var/run/postgresql;Username=me", "postgres://me@%2Fvar%2Frun%2Fpostgresql/"},
		{"libpq", `host=db port=5432 dbname=x user=me password='a b\'c\\' sslmode=verify-ca`, "postgres://me:a%20b%27c%5C@db:5432/x?sslmode=verify-ca"},
		{"libpq without quotes", `HOST = db password=a\ b;c connect_timeout=3`, "postgres://:a%20b%3Bc@db/?connect_timeout=3"},
		{"libpq with a quoted value first", "password='a b' host=db", "postgres://:a%20b@db/"},
		{"libpq with ports for hosts", "host=a,b port=1,2", "postgres://a:1,b:2/"},
		{"a URL", "postgres://me:a%3Bb%40c@db:5432/x?sslmode=require&pool_max_conns=5", "postgres://me:a%3Bb%40c@db:5432/x?pool_max_conns=5&sslmode=require"},
		{"the other scheme", "postgresql://me@a:1,b:2/x", "postgres://me@a:1,b:2/x"},
		{"a URL of a socket", "postgres:///x?host=/tmp&user=me", "postgres://me@%2Ftmp/x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.ParseConnectionString(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if _, err := pgxpool.ParseConfig(got); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestParseConnectionStringRefuses(t *testing.T) {
	const (
		forms       = "it must have the form Host=…;Database=…, host=… dbname=… or postgres://…"
		dotNet      = "it must have the form Keyword=value;Keyword=value, with values that have a semicolon in quotes"
		urlForm     = "it must have the form postgres://user:password@host:port/database; in the user and the password, write every character but letters and digits as %XX"
		unquoted    = "what follows Password is no keyword; put a password with a semicolon, a space or a quote in quotes"
		hosts       = "a host name, an IP address or the directory of a socket; several with commas between them"
		certificate = "/nonexistent/ca.pem cannot be read: no such file or directory"
	)
	tests := []struct{ name, in, want string }{
		{"nothing", "", forms},
		{"a word", "s3cret", forms},
		{"a NUL byte", "Host=db;Password=s3cret\x00", "it has a NUL byte"},
		{"no host", "Database=x", "Host is missing"},
		{"unknown keywords", "Host=db;Colour=blue;Misc=1", `unknown keyword "Colour"; unknown keyword "Misc"`},
		{"other keywords of .NET", "Host=db;Password=s3cret;Pooling=true;Command Timeout=60", "Pooling is not supported; leave it out; Command Timeout is not supported; leave it out"},
		{"a near keyword", "Host=db;Pasword=s3cret", `unknown keyword "Pasword"; did you mean Password?`},
		{"twice", "Host=db;Username=a;User Id=b", "User Id is given twice"},
		{"a port", "Host=db;Port=70000", "Port must be a whole number from 1 to 65535"},
		{"a port of a host", "Host=db:0", "Host must be followed by a port from 1 to 65535, if by any"},
		{"a host", "Host=d b", "Host must be " + hosts},
		{"a mode", "Host=db;SSL Mode=on", "SSL Mode must be one of allow, disable, prefer, require, verify-ca, verify-full"},
		{"a pool", "Host=db;Max Pool Size=0", "Max Pool Size must be a whole number from 1 to 10000"},
		{"a timeout", "Host=db;Timeout=1.5", "Timeout must be a whole number from 0 to 10000"},
		{"what only pgx knows", "Host=db;Channel Binding=s3cret", "the PostgreSQL driver does not accept its values"},
		{"a missing file", "Host=db;SSL Mode=VerifyCA;Root Certificate=/nonexistent/ca.pem", certificate},
		{"a password with a semicolon", "Host=db;Password=a;s3cret=b", unquoted},
		{"a password with a semicolon and no equals sign", "Host=db;Password=a;s3cret;User=b", dotNet},
		{"the same first", "Password=a;s3cret;Host=db", dotNet},
		{"a quote left open", `Host=db;Password="s3cret`, dotNet},
		{"a password with a space", "host=db password=a s3cret=b", unquoted},
		{"a password with a space at the end", "host=db password=a s3cret", forms},
		{"a libpq quote left open", "host=db password='s3cret", forms},
		{"a password with @", "postgres://me:a@s3cret@db/x", urlForm},
		{"a password with /", "postgres://me:1/s3cret@db/x", urlForm},
		{"a password with ?", "postgres://me:1?s3cret@db/x", urlForm},
		{"a password with %", "postgres://me:s3cret%@db/x", urlForm},
		{"a URL with a slash too many", "postgres://me:a@db/s3cret/", urlForm},
		{"a URL keyword", "postgres://db/x?sslmod=disable", `unknown keyword "sslmod"; did you mean SSL Mode?`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.ParseConnectionString(tt.in)
			var refused *config.ConnectionStringError
			if !errors.As(err, &refused) {
				t.Fatalf("got %q, %v", got, err)
			}
			if diff := cmp.Diff(tt.want, refused.Problem); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("a secret is in the error: %v", err)
			}
		})
	}
}

// TestConnectionStringRoundTrip writes the same connection in each form and
// checks that pgx gets what was written.
func TestConnectionStringRoundTrip(t *testing.T) {
	text := rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 })).Filter(func(s string) bool { return s != "" })
	rapid.Check(t, func(t *rapid.T) {
		user, password, database := text.Draw(t, "user"), text.Draw(t, "password"), text.Draw(t, "database")
		quote := rapid.SampledFrom([]string{`"`, `'`}).Draw(t, "quote")
		dotNet := func(s string) string { return quote + strings.ReplaceAll(s, quote, quote+quote) + quote }
		libpq := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }
		first, err := config.ParseConnectionString("Host=db;Port=5433;Timeout=7;Maximum Pool Size=9;User=" + dotNet(user) + ";Password=" + dotNet(password) + ";Database=" + dotNet(database))
		if err != nil {
			t.Fatal(err)
		}
		forms := []string{
			"host=db port=5433 connect_timeout=7 pool_max_conns=9 user=" + libpq(user) + " password=" + libpq(password) + " dbname=" + libpq(database),
			"password=" + libpq(password) + " host=db port=5433 connect_timeout=7 pool_max_conns=9 user=" + libpq(user) + " dbname=" + libpq(database),
			first,
		}
		for _, form := range forms {
			again, err := config.ParseConnectionString(form)
			if err != nil {
				t.Fatalf("%q: %v", form, err)
			}
			if diff := cmp.Diff(first, again); diff != "" {
				t.Fatalf("%q: %s", form, diff)
			}
		}
		c, err := pgxpool.ParseConfig(first)
		if err != nil {
			t.Fatal(err)
		}
		type connection struct {
			Host, User, Password, Database string
			Port                           uint16
			Timeout                        time.Duration
			Pool                           int32
		}
		want := connection{"db", user, password, database, 5433, 7 * time.Second, 9}
		got := connection{
			c.ConnConfig.Host, c.ConnConfig.User, c.ConnConfig.Password, c.ConnConfig.Database,
			c.ConnConfig.Port, c.ConnConfig.ConnectTimeout, c.MaxConns,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestConnectionStringErrorsKeepSecrets writes passwords without the quotes that
// they need, in every form.
func TestConnectionStringErrorsKeepSecrets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{";", "=", " ", "'", `"`, "@", "/", "?", "#", "%", ":", "&", `\`, "S3CRET", "S3CRET"}), 1, 6)
		password := strings.Join(pieces.Draw(t, "password"), "")
		for _, form := range []string{
			"Host=db;Password=" + password + ";User=x", "Password=" + password, "Host=db;Password='" + password + "';User=x",
			"host=db password=" + password + " user=x", "host=db password='" + password + "' user=x",
			"postgres://x:" + password + "@db/x", "postgres://x:" + password + "@db/x?sslmode=on",
		} {
			if _, err := config.ParseConnectionString(form); err != nil && strings.Contains(err.Error(), "S3CRET") {
				t.Fatalf("%q: %v", form, err)
			}
		}
	})
}

func FuzzParseConnectionString(f *testing.F) {
	for _, seed := range []string{
		"Host=db;Port=5432;Database=x;User=me;Password=\"a;b\";SSL Mode=Require", "host=db password='a b' user=me",
		"postgres://me:a%3Bb@db:5432/x?sslmode=require", "Host=[::1]:1,/tmp;Port=1,2", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, err := config.ParseConnectionString(s)
		if err != nil {
			return
		}
		again, err := config.ParseConnectionString(first)
		if err != nil {
			t.Fatalf("%q became %q: %v", s, first, err)
		}
		if first != again {
			t.Fatalf("%q became %q and then %q", s, first, again)
		}
	})
}
