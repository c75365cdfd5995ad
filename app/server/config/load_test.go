package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rabbitmq/amqp091-go"
	"pgregory.net/rapid"

	"github.com/rlapp/rlapp/app/server/config"
)

func defaults() config.Config {
	return config.Config{
		EventStore:       config.EventStore{MaxConnections: max(4, 4*runtime.GOMAXPROCS(0)), CacheSize: 400_000},
		RabbitMq:         config.RabbitMq{Port: 5672, UserName: "guest", Password: "guest", VirtualHost: "/"},
		OutboxDispatcher: config.OutboxDispatcher{PollingIntervalSeconds: 5, BatchSize: 1000, RetentionHours: 168, MaxRetryAttempts: 5, BaseRetryDelaySeconds: 30},
		WaitingRoom:      config.WaitingRoom{MaxCapacity: 100, TimeZone: "UTC"},
		Api:              config.Api{Address: "127.0.0.1:5000", ShutdownTimeoutSeconds: 30, MaxBodyBytes: 65536, MaxInFlight: 4000, MaxListeners: 1000},
		Auth:             config.Auth{Algorithm: "RS256", ClockSkewSeconds: 30, RolesClaim: "roles", QueuesClaim: "queues"},
		Worker:           config.Worker{Address: "127.0.0.1:5001"},
		Projections:      config.Projections{Address: "127.0.0.1:5002", ReplaysPerSecond: 50},
		Retention:        config.Retention{ArchiveAfterDays: 90, LagDays: 30, PoisonDays: 90, IntervalHours: 24},
		Embedded:         config.Embedded{Download: true},
		Logging:          config.Logging{Format: "text", Level: slog.LevelInfo},
	}
}

// writeFile returns the path of a configuration file.
func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "appsettings.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	tests := []struct {
		name    string
		environ []string
		file    string // its content
		want    func(c *config.Config)
	}{
		{"nothing is set", []string{"PATH=/bin", "HOME=/root"}, "", func(*config.Config) {}},
		{"the guide's production example", []string{
			`EventStore__ConnectionString=Host=postgres.prod;Database=rlapp_events;User=rlapp_prod;Password=***`,
			"RabbitMq__HostName=rabbitmq.prod", "RabbitMq__Port=5672", "Seq__Url=https://logs.prod.rlapp.com",
		}, "", func(c *config.Config) {
			c.EventStore.ConnectionString = "Host=postgres.prod;Database=rlapp_events;User=rlapp_prod;Password=***"
			c.RabbitMq.HostName = "rabbitmq.prod"
			c.Seq.URL = "https://logs.prod.rlapp.com"
		}},
		{"the guide's tuning example", nil, `{
			"OutboxDispatcher": {
				"PollingIntervalSeconds": 3,      // Faster polling = lower lag
				"BatchSize": 200,                  // More events per batch
				"MaxRetryAttempts": 5,
				"BaseRetryDelaySeconds": 20        // Shorter initial delay
			}
		}`, func(c *config.Config) {
			c.OutboxDispatcher = config.OutboxDispatcher{PollingIntervalSeconds: 3, BatchSize: 200, MaxRetryAttempts: 5, BaseRetryDelaySeconds: 20, RetentionHours: 168}
		}},
		{
			"the environment wins over the file",
			[]string{"Logging__Format=json"},
			`{"Logging": {"Format": "text", "Level": "warn"}}`,
			func(c *config.Config) { c.Logging = config.Logging{Format: "json", Level: slog.LevelWarn} },
		},
		{
			"names in any case",
			[]string{"EVENTSTORE__MAXCONNECTIONS=7", "api__address=:80"},
			`{"waitingroom": {"MAXCAPACITY": 9}}`,
			func(c *config.Config) {
				c.EventStore.MaxConnections, c.Api.Address, c.WaitingRoom.MaxCapacity = 7, ":80", 9
			},
		},
		{
			"an empty value is not set",
			[]string{"RabbitMq__UserName=", "Api__Address="},
			`{"RabbitMq": {"UserName": "file", "Password": "", "HostName": null}}`,
			func(c *config.Config) { c.RabbitMq.UserName = "file" },
		},
		{
			"the last of the same variable counts, as for programs",
			[]string{"Api__Address=:2", "Api__Address=:1"},
			"",
			func(c *config.Config) { c.Api.Address = ":1" },
		},
		{
			"a file from Windows", nil, "\xef\xbb\xbf{\r\n\"Embedded\": {\"Download\": false,},\r\n}",
			func(c *config.Config) { c.Embedded.Download = false },
		},
		{"a number as a text", nil, `{"RabbitMq": {"Port": "5673"}}`, func(c *config.Config) { c.RabbitMq.Port = 5673 }},
		{
			"Maximum Pool Size",
			[]string{"EventStore__ConnectionString=Host=db;Maximum Pool Size=3"},
			"",
			func(c *config.Config) {
				c.EventStore = config.EventStore{ConnectionString: "Host=db;Maximum Pool Size=3", MaxConnections: 3, CacheSize: 400_000}
			},
		},
		{
			"callers with keys",
			[]string{"Auth__ApiKeys=true"},
			"",
			func(c *config.Config) { c.Auth.ApiKeys, c.Api.RequestsPerMinute = true, 1200 },
		},
		{
			"callers with tokens",
			nil,
			`{"Auth": {"Issuer": "https://login.clinic.example", "Audience": "rlapp"}}`,
			func(c *config.Config) {
				c.Auth.Issuer, c.Auth.Audience, c.Api.RequestsPerMinute = "https://login.clinic.example", "rlapp", 1200
			},
		},
		{
			"callers with keys and no bound",
			[]string{"Auth__ApiKeys=true", "Api__RequestsPerMinute=0"},
			"",
			func(c *config.Config) { c.Auth.ApiKeys = true },
		},
		{
			"MaxConnections wins over Maximum Pool Size",
			[]string{"EventStore__ConnectionString=Host=db;Maximum Pool Size=3", "EventStore__MaxConnections=5"},
			"",
			func(c *config.Config) {
				c.EventStore = config.EventStore{ConnectionString: "Host=db;Maximum Pool Size=3", MaxConnections: 5, CacheSize: 400_000}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := ""
			if tt.file != "" {
				path = writeFile(t, tt.file)
			}
			got, err := config.Load(tt.environ, path)
			if err != nil {
				t.Fatal(err)
			}
			want := defaults()
			tt.want(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		name     string
		variable string
		want     string // the mistake's problem
	}{
		{"a port", "RabbitMq__Port=65536", `"65536" is not accepted; give a whole number from 1 to 65535`},
		{"a port of words", "RabbitMq__Port=many", `"many" is not accepted; give a whole number from 1 to 65535`},
		{"a batch", "OutboxDispatcher__BatchSize=0", `"0" is not accepted; give a whole number from 1 to 10000`},
		{"attempts", "OutboxDispatcher__MaxRetryAttempts=101", `"101" is not accepted; give a whole number from 1 to 100`},
		{"no time", "OutboxDispatcher__PollingIntervalSeconds=0", `"0" is not accepted; give a number of seconds, above 0 and at most 86400`},
		{"time with a unit", "Api__ShutdownTimeoutSeconds=5s", `"5s" is not accepted; give a number of seconds, above 0 and at most 86400`},
		{"not a number", "Api__ShutdownTimeoutSeconds=NaN", `"NaN" is not accepted; give a number of seconds, above 0 and at most 86400`},
		{"too little time", "Api__ShutdownTimeoutSeconds=1e-10", `"1e-10" is not accepted; give a number of seconds, above 0 and at most 86400`},
		{"a host", "RabbitMq__HostName=amqp://broker", `"amqp://broker" is not accepted; give a host name or IP address`},
		{"a host with a port", "RabbitMq__HostName=broker:5672", `"broker:5672" is not accepted; give a host name or IP address`},
		{"an address without a port", "Api__Address=127.0.0.1", `"127.0.0.1" is not accepted; give host:port; without the host it is every network of the machine, port 0 is a free one`},
		{"an address of a strange host", "Worker__Address=a b:1", `"a b:1" is not accepted; give host:port; without the host it is every network of the machine, port 0 is a free one`},
		{"a format", "Logging__Format=xml", `"xml" is not accepted; give text or json`},
		{"a level", "Logging__Level=loud", `"loud" is not accepted; give debug, info, warn or error`},
		{"a URL", "Seq__Url=localhost:5341", `"localhost:5341" is not accepted; give an http:// or https:// URL`},
		{"a switch", "Embedded__Download=maybe", `"maybe" is not accepted; give true or false`},
		{"a keyword", "EventStore__ConnectionString=Hots=db;Password=s3cret", `unknown keyword "Hots"; did you mean Host?; give a PostgreSQL connection string`},
		{"a near key", "RabbitMq__Hostname_=x", "there is no such key; did you mean RabbitMq__HostName?"},
		{"a shortened key", "RabbitMq__Host=x", "there is no such key; did you mean RabbitMq__HostName?"},
		{"a key of .NET", "Logging__LogLevel__Default=Warning", "there is no such key"},
		{"a strange key", "Worker__SomethingElse=1", "there is no such key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.Load([]string{tt.variable}, "")
			key, _, _ := strings.Cut(tt.variable, "=")
			checkMistakes(t, err, config.Mistake{Key: key, Origin: "environment", Problem: tt.want})
			if diff := cmp.Diff(config.Config{}, got); diff != "" {
				t.Errorf("a configuration came with the mistake: %s", diff)
			}
		})
	}
}

// checkMistakes compares all mistakes of an error.
func checkMistakes(t *testing.T, err error, want ...config.Mistake) {
	t.Helper()
	var got []config.Mistake
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			var m *config.Mistake
			if !errors.As(err, &m) {
				t.Errorf("not a mistake: %v", err)
				continue
			}
			got = append(got, *m)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

func TestLoadNamesEveryMistake(t *testing.T) {
	path := writeFile(t, `{
		"RabbitMq": {
			"Port": 0,
			"Pasword": "s3cret",
			"port": 1,
			"HostName": ["a"]
		},
		"OutboxDispatcher": 5,
		"Outbox": {"BatchSize": 1},
		"Seq": {"Url": "ftp://x", "ApiKey": "s3cret"},
		"Logging__Level": "warn"
	}`)
	_, err := config.Load([]string{
		"Api__Address=nowhere", "API__ADDRESS=:1", "Seq__Ur=x", "PATH=/bin",
		"EventStore__ConnectionString=Host=db;Password=s3cret;more=true",
	}, path)
	checkMistakes(t, err,
		config.Mistake{Key: "RabbitMq__Pasword", Origin: path + ":4", Problem: "there is no such key; did you mean RabbitMq__Password?"},
		config.Mistake{Key: "RabbitMq__Port", Origin: path + ":5", Problem: "it is set twice, at " + path + ":3 too"},
		config.Mistake{Key: "RabbitMq__HostName", Origin: path + ":6", Problem: "it must be a text, a number, true or false"},
		config.Mistake{Key: "OutboxDispatcher", Origin: path + ":8", Problem: "it must be an object: { … }"},
		config.Mistake{Key: "Outbox", Origin: path + ":9", Problem: "there is no such section; did you mean OutboxDispatcher?"},
		config.Mistake{Key: "Logging__Level", Origin: path + ":11", Problem: "there is no such section; did you mean Logging?"},
		config.Mistake{Key: "Api__Address", Origin: "environment", Problem: "it is set twice, as API__ADDRESS too"},
		config.Mistake{Key: "Seq__Ur", Origin: "environment", Problem: "there is no such key; did you mean Seq__Url?"},
		config.Mistake{Key: "EventStore__ConnectionString", Origin: "environment", Problem: "what follows Password is no keyword; put a password with a semicolon, a space or a quote in quotes; give a PostgreSQL connection string"},
		config.Mistake{Key: "RabbitMq__Port", Origin: path + ":3", Problem: `"0" is not accepted; give a whole number from 1 to 65535`},
		config.Mistake{Key: "Seq__Url", Origin: path + ":10", Problem: `"ftp://x" is not accepted; give an http:// or https:// URL`},
	)
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a secret is in the error: %v", err)
	}
	if line := "RabbitMq__Port (" + path + `:3): "0" is not accepted; give a whole number from 1 to 65535`; !strings.Contains(err.Error(), line) {
		t.Errorf("the error lacks the line %s:\n%v", line, err)
	}
}

func TestLoadRefusesAFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.json")
	_, err := config.Load([]string{"RabbitMq__Port=x"}, missing)
	checkMistakes(t, err,
		config.Mistake{Origin: missing, Problem: "it cannot be read: no such file or directory"},
		config.Mistake{Key: "RabbitMq__Port", Origin: "environment", Problem: `"x" is not accepted; give a whole number from 1 to 65535`},
	)
	tests := map[string]string{
		`{"RabbitMq": {"Password": "s3cret}`:     "it is not JSON: line 1, column 35: parsing string: unexpected EOF",
		`{"RabbitMq": {"Password": "s3\cret"}}`:  "it is not JSON: line 1, column 27: a string or a number is malformed",
		`[]`:                                     "it must be an object: { … }",
		"{\n\"RabbitMq\": {\"Password\" \"a\"}}": "it is not JSON: line 2, column 25: invalid character '\"' after object name",
	}
	for content, want := range tests {
		path := writeFile(t, content)
		_, err := config.Load(nil, path)
		origin := path
		if content == "[]" {
			origin += ":1"
		}
		checkMistakes(t, err, config.Mistake{Origin: origin, Problem: want})
	}
}

func TestForServices(t *testing.T) {
	c, err := config.Load(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	filled := c.ForServices()
	if _, err := config.ParseConnectionString(filled.EventStore.ConnectionString); err != nil {
		t.Error(err)
	}
	if filled.RabbitMq.HostName != "127.0.0.1" {
		t.Errorf("the broker is %q", filled.RabbitMq.HostName)
	}
	c.EventStore.ConnectionString, c.RabbitMq.HostName = "Host=db", "broker"
	if diff := cmp.Diff(c, c.ForServices()); diff != "" {
		t.Errorf("what was set changed: %s", diff)
	}
}

func TestDurations(t *testing.T) {
	c, err := config.Load([]string{
		"OutboxDispatcher__PollingIntervalSeconds=0.5", "OutboxDispatcher__BaseRetryDelaySeconds=1.1", "Api__ShutdownTimeoutSeconds=86400",
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	got := []time.Duration{c.OutboxDispatcher.PollingInterval(), c.OutboxDispatcher.BaseRetryDelay(), c.Api.ShutdownTimeout()}
	if diff := cmp.Diff([]time.Duration{500 * time.Millisecond, 1100 * time.Millisecond, 24 * time.Hour}, got); diff != "" {
		t.Error(diff)
	}
}

// TestRabbitMqURL checks that the broker's client reads the URL as it was meant.
func TestRabbitMqURL(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := config.RabbitMq{
			HostName:    rapid.SampledFrom([]string{"rabbitmq.prod", "127.0.0.1", "::1"}).Draw(t, "host"),
			Port:        rapid.IntRange(1, 65535).Draw(t, "port"),
			UserName:    rapid.StringN(1, 20, -1).Draw(t, "user"),
			Password:    rapid.StringN(1, 20, -1).Draw(t, "password"),
			VirtualHost: rapid.StringN(1, 20, -1).Draw(t, "virtual host"),
		}
		u, err := amqp091.ParseURI(r.URL())
		if err != nil {
			t.Fatal(err)
		}
		got := config.RabbitMq{HostName: u.Host, Port: u.Port, UserName: u.Username, Password: u.Password, VirtualHost: u.Vhost}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Fatalf("%s: %s", r.URL(), diff)
		}
	})
}

func TestPrintingShowsNoSecret(t *testing.T) {
	c, err := config.Load([]string{
		"EventStore__ConnectionString=Host=db;Password=s3cret", "RabbitMq__Password=s3cret", "Seq__ApiKey=s3cret", "RabbitMq__HostName=broker",
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		text := fmt.Sprintf(format, c)
		if strings.Contains(text, "s3cret") || !strings.Contains(text, "RabbitMq__HostName=broker\n") {
			t.Errorf("%s prints %s", format, text)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, key := range config.Keys() {
		if key.Name == "" || key.Doc == "" || key.Accepts == "" || key.Default == "" {
			t.Errorf("not complete: %+v", key)
		}
		if key.Computed {
			continue
		}
		if _, err := config.Load([]string{key.Name + "=" + key.Default}, ""); err != nil {
			t.Errorf("the default is not accepted: %v", err)
		}
	}
}
