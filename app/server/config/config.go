package config

import (
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"time"
	_ "time/tzdata" // the clinic's time zone, on machines that know none
)

// Config is the configuration of a process. Load makes it; its fields are then
// valid. Tags say everything that operators need to know of a key: env and
// envPrefix its name, envDefault its default (default describes one that Load
// computes), min, max and accepts its values, doc its meaning.
type Config struct {
	EventStore       EventStore       `envPrefix:"EventStore__"`
	RabbitMq         RabbitMq         `envPrefix:"RabbitMq__"`
	OutboxDispatcher OutboxDispatcher `envPrefix:"OutboxDispatcher__"`
	WaitingRoom      WaitingRoom      `envPrefix:"WaitingRoom__"`
	Api              Api              `envPrefix:"Api__"`
	Auth             Auth             `envPrefix:"Auth__"`
	Worker           Worker           `envPrefix:"Worker__"`
	Projections      Projections      `envPrefix:"Projections__"`
	Retention        Retention        `envPrefix:"Retention__"`
	Embedded         Embedded         `envPrefix:"Embedded__"`
	Logging          Logging          `envPrefix:"Logging__"`
	Seq              Seq              `envPrefix:"Seq__"`
}

// EventStore says where PostgreSQL is.
type EventStore struct {
	// ConnectionString is as the operator wrote it; see ParseConnectionString.
	ConnectionString string `env:"ConnectionString" accepts:"connection string" secret:"true" default:"a private PostgreSQL; for the services the compose stack's" doc:"The PostgreSQL database with the events, the outbox and the read models."`
	MaxConnections   int    `env:"MaxConnections" min:"1" max:"10000" default:"the connection string's Maximum Pool Size, else 4 for each CPU, at least 4" doc:"The most connections of one process to PostgreSQL."`
	Lanes            int    `env:"Lanes" min:"1" max:"64" default:"one for every two CPUs, at least 1" doc:"How many transactions with new events one API process writes at a time. What waits for one shares the next, so more lanes mean smaller transactions."`
	CacheSize        int    `env:"CacheSize" envDefault:"400000" min:"1" max:"100000000" doc:"The most queues and patients, together, that one API process keeps in memory, at some 450 bytes each. Others are loaded from their snapshot."`
}

// RabbitMq says where the broker is. Without a HostName events travel within the
// process.
type RabbitMq struct {
	HostName    string `env:"HostName" accepts:"host" default:"none: events travel within the process; for the services 127.0.0.1" doc:"The RabbitMQ broker that carries the events."`
	Port        int    `env:"Port" envDefault:"5672" min:"1" max:"65535" doc:"Its AMQP port."`
	UserName    string `env:"UserName" envDefault:"guest" doc:"Its user. RabbitMQ lets guest in from the broker's own machine only, unless it is set up otherwise."`
	Password    string `env:"Password" envDefault:"guest" secret:"true" doc:"The user's password."`
	VirtualHost string `env:"VirtualHost" envDefault:"/" doc:"The virtual host with the exchange waiting_room_events."`
}

// URL is the broker's amqp:// address with the credentials in it.
func (r RabbitMq) URL() string {
	u := url.URL{
		Scheme:  "amqp",
		User:    url.UserPassword(r.UserName, r.Password),
		Host:    net.JoinHostPort(r.HostName, strconv.Itoa(r.Port)),
		Path:    "/" + r.VirtualHost,
		RawPath: "/" + url.PathEscape(r.VirtualHost),
	}
	return u.String()
}

// OutboxDispatcher tunes the relay.
type OutboxDispatcher struct {
	PollingIntervalSeconds Seconds `env:"PollingIntervalSeconds" envDefault:"5" doc:"How often the relay looks for events that no wake-up told it of. A commit wakes it at once."`
	BatchSize              int     `env:"BatchSize" envDefault:"1000" min:"1" max:"10000" doc:"The most events that are read and published at once. Twice as many may be published again after a crash."`
	MaxRetryAttempts       int     `env:"MaxRetryAttempts" envDefault:"5" min:"1" max:"100" doc:"Tries of an event before it is parked for a person."`
	BaseRetryDelaySeconds  Seconds `env:"BaseRetryDelaySeconds" envDefault:"30" doc:"The wait after an event's first failure. The next are 2 min, 30 min and 1 h."`
	RetentionHours         int     `env:"RetentionHours" envDefault:"168" min:"0" max:"87600" doc:"How long published rows stay in the outbox; 0 keeps them for ever. The events stay in the store."`
}

// PollingInterval is PollingIntervalSeconds.
func (o OutboxDispatcher) PollingInterval() time.Duration { return o.PollingIntervalSeconds.Duration() }

// BaseRetryDelay is BaseRetryDelaySeconds.
func (o OutboxDispatcher) BaseRetryDelay() time.Duration { return o.BaseRetryDelaySeconds.Duration() }

// Retention is RetentionHours.
func (o OutboxDispatcher) Retention() time.Duration {
	return time.Duration(o.RetentionHours) * time.Hour
}

// WaitingRoom tunes the domain.
type WaitingRoom struct {
	MaxCapacity int    `env:"MaxCapacity" envDefault:"100" min:"1" max:"100000" doc:"Patients that a queue holds at once. It counts for queues that are created from now on."`
	TimeZone    string `env:"TimeZone" envDefault:"UTC" accepts:"time zone" doc:"The clinic's time zone, such as America/Bogota: ticket numbers begin anew with its days."`
}

// Location is TimeZone.
func (w WaitingRoom) Location() *time.Location {
	location, err := time.LoadLocation(w.TimeZone)
	if err != nil { // Load refuses it
		return time.UTC
	}
	return location
}

// Api tunes the HTTP API.
type Api struct {
	Address                string  `env:"Address" envDefault:"127.0.0.1:5000" accepts:"address" doc:"Where the API listens. Beyond this machine, as at 0.0.0.0:5000, it starts only if callers are asked who they are (Auth__), or with --insecure."`
	Insecure               bool    `env:"Insecure" envDefault:"false" doc:"Lets the API listen beyond this machine without asking callers who they are, as --insecure does. Only for a network where all are trusted."`
	ShutdownTimeoutSeconds Seconds `env:"ShutdownTimeoutSeconds" envDefault:"30" doc:"How long a process, each of them, waits at its end for what is in flight."`
	MaxBodyBytes           int64   `env:"MaxBodyBytes" envDefault:"65536" min:"1024" max:"16777216" doc:"The largest request body."`
	MaxInFlight            int     `env:"MaxInFlight" envDefault:"4000" min:"1" max:"1000000" doc:"The most requests that are answered at a time, at some 100 KB each. What comes beyond gets 503 at once."`
	MaxListeners           int     `env:"MaxListeners" envDefault:"1000" min:"1" max:"100000" doc:"The most boards that are followed at a time over one API process's streams."`
	RequestsPerMinute      int     `env:"RequestsPerMinute" min:"0" max:"100000000" default:"1200 where callers are asked who they are (Auth__), else 0" doc:"The most requests of one caller in a minute, by name, or by address where nobody is asked or the credential is not accepted; what comes beyond gets 429. 0 sets no bound."`
}

// requestsPerMinute is the default of RequestsPerMinute where callers are asked: twenty a
// second are more than a person or a board needs, and too few to guess.
const requestsPerMinute = 1200

// ShutdownTimeout is ShutdownTimeoutSeconds.
func (a Api) ShutdownTimeout() time.Duration { return a.ShutdownTimeoutSeconds.Duration() }

// Auth says how callers of the API show who they are.
type Auth struct {
	Issuer           string  `env:"Issuer" accepts:"url" default:"none: no bearer tokens" doc:"The OpenID Connect issuer whose bearer tokens are accepted."`
	Audience         string  `env:"Audience" default:"none" doc:"Whom the tokens have to be for. Needed with Auth__Issuer."`
	KeySetURL        string  `env:"KeySetUrl" accepts:"url" default:"what the issuer's discovery document says" doc:"Where the issuer's keys are."`
	Algorithm        string  `env:"Algorithm" envDefault:"RS256" accepts:"algorithm" doc:"The only algorithm that tokens may be signed with."`
	ClockSkewSeconds Seconds `env:"ClockSkewSeconds" envDefault:"30" doc:"How far the issuer's clock may be off; 300 at most."`
	RolesClaim       string  `env:"RolesClaim" envDefault:"roles" doc:"The claim with the caller's roles: reception, cashier, doctor, display, operator, admin."`
	QueuesClaim      string  `env:"QueuesClaim" envDefault:"queues" doc:"The claim with the queues that the caller may see and change; all where it is missing."`
	ApiKeys          bool    `env:"ApiKeys" envDefault:"false" doc:"Whether the keys that rlapp key create has made are accepted."`
}

// Asks reports whether callers are asked who they are.
func (a Auth) Asks() bool { return a.Issuer != "" || a.ApiKeys }

// ClockSkew is ClockSkewSeconds.
func (a Auth) ClockSkew() time.Duration { return a.ClockSkewSeconds.Duration() }

// Worker tunes the outbox worker.
type Worker struct {
	Address string `env:"Address" envDefault:"127.0.0.1:5001" accepts:"address" doc:"Where the outbox worker serves health and metrics."`
}

// Projections tunes the projection worker.
type Projections struct {
	Address string `env:"Address" envDefault:"127.0.0.1:5002" accepts:"address" doc:"Where the projection worker serves health and metrics."`
	// ReplaysPerSecond bounds how fast poisoned messages are replayed.
	ReplaysPerSecond int `env:"ReplaysPerSecond" envDefault:"50" min:"1" max:"10000" doc:"The most poisoned messages of a second that are handed to their handlers again when an operator has ordered it."`
}

// Retention says how long what is kept; OutboxDispatcher__RetentionHours is the outbox's.
type Retention struct {
	ArchiveAfterDays int `env:"ArchiveAfterDays" envDefault:"90" min:"0" max:"36500" doc:"The age from which events of finished visits are moved into the compressed archive; 0 never. Replays read them there."`
	LagDays          int `env:"LagDays" envDefault:"30" min:"0" max:"36500" doc:"How long the lag of single events is kept; 0 for ever. The figures per minute stay."`
	PoisonDays       int `env:"PoisonDays" envDefault:"90" min:"0" max:"36500" doc:"How long poisoned messages are kept after they were replayed or discarded; 0 for ever."`
	IntervalHours    int `env:"IntervalHours" envDefault:"24" min:"1" max:"8760" doc:"How often the API archives and prunes."`
}

// ArchiveAfter is ArchiveAfterDays.
func (r Retention) ArchiveAfter() time.Duration { return days(r.ArchiveAfterDays) }

// Lag is LagDays.
func (r Retention) Lag() time.Duration { return days(r.LagDays) }

// Poison is PoisonDays.
func (r Retention) Poison() time.Duration { return days(r.PoisonDays) }

// Interval is IntervalHours.
func (r Retention) Interval() time.Duration { return time.Duration(r.IntervalHours) * time.Hour }

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// Embedded tunes the private PostgreSQL.
type Embedded struct {
	DataDirectory string `env:"DataDirectory" default:"rlapp/postgres below $XDG_DATA_HOME or ~/.local/share; for root below /var/lib" doc:"Where the private PostgreSQL keeps its data."`
	BinDirectory  string `env:"BinDirectory" default:"looked for: pg_config, /usr/lib/postgresql, PATH" doc:"Where its programs initdb and postgres are."`
	Download      bool   `env:"Download" envDefault:"true" doc:"Whether to download PostgreSQL where the machine has none."`
}

// Logging tunes what a process writes to its standard error.
type Logging struct {
	Format string     `env:"Format" envDefault:"text" accepts:"format" doc:"The form of the log lines."`
	Level  slog.Level `env:"Level" envDefault:"info" doc:"The least severe level that is logged, also to Seq."`
}

// Seq says where logs go beside standard error.
type Seq struct {
	URL    string `env:"Url" accepts:"url" default:"none" doc:"The Seq server that gets the logs too, such as http://localhost:5341."`
	APIKey string `env:"ApiKey" secret:"true" default:"none" doc:"Its API key."`
}

// The compose stack's servers, as they are reached on its own machine.
const (
	localDatabase = "Host=127.0.0.1;Port=5432;Database=rlapp;User=rlapp;Password=rlapp-local"
	localBroker   = "127.0.0.1"
)

// ForServices returns the configuration for a service of its own, which has no
// private PostgreSQL and no in-process transport: where no database or no broker
// is named, it is the compose stack's on this machine.
func (c Config) ForServices() Config {
	if c.EventStore.ConnectionString == "" {
		c.EventStore.ConnectionString = localDatabase
	}
	if c.RabbitMq.HostName == "" {
		c.RabbitMq.HostName = localBroker
	}
	return c
}
