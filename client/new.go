package client

import (
	"errors"
	"net/http"
	"time"
)

// Config tunes a client. The zero value is ready for use.
type Config struct {
	// HTTPClient sends the requests. Default: a client of its own.
	HTTPClient *http.Client
	// APIKey is shown with every request. Default: none is.
	APIKey string
	// Token returns the bearer token of a request; it is asked each time, for tokens
	// expire. Default: none is shown.
	Token func() (string, error)
	// Attempts is how often a request is sent at most. Default: 5.
	Attempts int
	// Pause is the time before the second attempt, where the server names none; it doubles
	// with each, and a random part of it is left out. Default: 200 ms.
	Pause time.Duration
	// MaxPause bounds the time between two attempts, also what the server asks for.
	// Default: 10 s.
	MaxPause time.Duration
	// AttemptTimeout bounds one attempt. Default: 15 s.
	AttemptTimeout time.Duration
}

func (c *Config) setDefaults() {
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{}
	}
	if c.Attempts == 0 {
		c.Attempts = 5
	}
	if c.Pause == 0 {
		c.Pause = 200 * time.Millisecond
	}
	if c.MaxPause == 0 {
		c.MaxPause = 10 * time.Second
	}
	if c.AttemptTimeout == 0 {
		c.AttemptTimeout = 15 * time.Second
	}
}

func (c *Config) validate() error {
	if c.Attempts < 1 || c.Pause < 0 || c.MaxPause < 0 || c.AttemptTimeout < 0 {
		return errors.New("client: Attempts, Pause, MaxPause and AttemptTimeout must be positive")
	}
	return nil
}

// New returns a client of the API at a base URL such as http://127.0.0.1:5000. It sends
// requests again where the answer got lost or the server asked for it: a command carries
// an Idempotency-Key, the same each time, so that it is carried out once however often it
// is sent. It is safe for concurrent use.
func New(baseURL string, config Config) (*ClientWithResponses, error) {
	config.setDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	return NewClientWithResponses(baseURL, WithHTTPClient(&retrier{config: config}))
}
