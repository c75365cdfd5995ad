package oidc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

// MaxClockSkew bounds how far the issuer's clock may be off: what is allowed here keeps
// expired tokens alive.
const MaxClockSkew = 5 * time.Minute

// Config says which tokens are accepted.
type Config struct {
	// Issuer is the issuer's address, as in the token's iss.
	Issuer string
	// Audience is who the tokens are for, as in the token's aud.
	Audience string
	// KeySetURL is where the issuer's keys are. Default: what its discovery document says,
	// which is read by New.
	KeySetURL string
	// Algorithm is the only one that signatures may have. Default: RS256.
	Algorithm string
	// ClockSkew is how far the issuer's clock may be off, MaxClockSkew at most. Default: 0.
	ClockSkew time.Duration
	// RolesClaim and QueuesClaim name the claims with the caller's roles and queues: lists,
	// or words in one text. Default: roles and queues.
	RolesClaim, QueuesClaim string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

func (c *Config) setDefaults() {
	setDefault(&c.Algorithm, gooidc.RS256)
	setDefault(&c.RolesClaim, "roles")
	setDefault(&c.QueuesClaim, "queues")
	if c.Now == nil {
		c.Now = time.Now
	}
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// algorithms are those with a key pair: with a shared secret whoever verifies could sign.
var algorithms = []string{
	gooidc.RS256, gooidc.RS384, gooidc.RS512, gooidc.ES256, gooidc.ES384, gooidc.ES512, gooidc.PS256, gooidc.PS384, gooidc.PS512, gooidc.EdDSA,
}

func (c *Config) validate() error {
	var errs []error
	if c.Issuer == "" || c.Audience == "" {
		errs = append(errs, errors.New("issuer and audience are needed"))
	}
	if !slices.Contains(algorithms, c.Algorithm) {
		errs = append(errs, fmt.Errorf("the algorithm must be one of %s", strings.Join(algorithms, ", ")))
	}
	if c.ClockSkew < 0 || c.ClockSkew > MaxClockSkew {
		errs = append(errs, fmt.Errorf("the clock skew must be between 0 and %s", MaxClockSkew))
	}
	return errors.Join(errs...)
}

// Claims are what a token says of its bearer.
type Claims struct {
	// Name is the preferred user name, or the subject where there is none.
	Name   string
	Roles  []string
	Queues []string
}

// TokenError says why a token is not accepted. It does not repeat the token.
type TokenError struct{ Err error }

func (e *TokenError) Error() string { return "the token is not accepted: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *TokenError) Unwrap() error { return e.Err }

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	config   Config
	settings *gooidc.Config
	keys     gooidc.KeySet
}

// New returns a verifier. Without a KeySetURL it asks the issuer for it, and returns an
// error where that fails; the keys themselves are fetched with the first token. ctx bounds
// New alone.
func New(ctx context.Context, config Config) (*Verifier, error) {
	config.setDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("oidc: %w", err)
	}
	ctx = withTimeout(ctx)
	if config.KeySetURL == "" {
		var err error
		if config.KeySetURL, err = discover(ctx, config.Issuer); err != nil {
			return nil, fmt.Errorf("oidc: ask %s for its keys: %w", config.Issuer, err)
		}
	}
	settings := &gooidc.Config{
		ClientID: config.Audience, SupportedSigningAlgs: []string{config.Algorithm},
		SkipExpiryCheck: true, // checked with the skew, in current
		Now:             config.Now,
	}
	return &Verifier{config: config, settings: settings, keys: gooidc.NewRemoteKeySet(context.WithoutCancel(ctx), config.KeySetURL)}, nil
}

// discover asks an issuer where its keys are.
func discover(ctx context.Context, issuer string) (keySetURL string, err error) {
	provider, err := gooidc.NewProvider(ctx, issuer)
	if err != nil {
		return "", err
	}
	var document struct {
		KeySetURL string `json:"jwks_uri"`
	}
	err = provider.Claims(&document)
	return document.KeySetURL, err
}

// Verify returns the claims of a token. It returns *TokenError for one that is not
// accepted: of another issuer or for another audience, signed by another key or with
// another algorithm, expired or not valid yet. It returns *UnavailableError where the key
// is not known and the issuer cannot be asked for it.
func (v *Verifier) Verify(ctx context.Context, token string) (Claims, error) {
	keys := &fetching{KeySet: v.keys}
	verified, err := gooidc.NewVerifier(v.config.Issuer, keys, v.settings).Verify(ctx, token)
	if keys.failed != nil {
		return Claims{}, &UnavailableError{keys.failed}
	}
	if err != nil {
		return Claims{}, &TokenError{err}
	}
	var claims map[string]any
	if err := verified.Claims(&claims); err != nil {
		return Claims{}, &TokenError{err}
	}
	if err := v.current(verified, claims); err != nil {
		return Claims{}, &TokenError{err}
	}
	name, _ := claims["preferred_username"].(string)
	if name == "" {
		name = verified.Subject
	}
	if name == "" {
		return Claims{}, &TokenError{errors.New("it has no subject")}
	}
	queues, err := v.scope(claims)
	if err != nil {
		return Claims{}, &TokenError{err}
	}
	return Claims{Name: name, Roles: words(claims[v.config.RolesClaim]), Queues: queues}, nil
}

// scope is the claim with the caller's queues. Without the claim the caller has all; with
// one that names none the caller must not have them by mistake.
func (v *Verifier) scope(claims map[string]any) ([]string, error) {
	claim, given := claims[v.config.QueuesClaim]
	queues := words(claim)
	if given && len(queues) == 0 {
		return nil, fmt.Errorf("its claim %q names no queue", v.config.QueuesClaim)
	}
	return queues, nil
}

// current refuses tokens before and after their time.
func (v *Verifier) current(token *gooidc.IDToken, claims map[string]any) error {
	now := v.config.Now()
	if !now.Before(token.Expiry.Add(v.config.ClockSkew)) {
		return fmt.Errorf("it expired at %s", token.Expiry.UTC().Format(time.RFC3339))
	}
	if notBefore, ok := claims["nbf"].(float64); ok {
		if from := time.Unix(int64(notBefore), 0); now.Before(from.Add(-v.config.ClockSkew)) {
			return fmt.Errorf("it is valid from %s on", from.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// words are the items of a claim: a list, or words in a text.
func words(claim any) (items []string) {
	switch claim := claim.(type) {
	case string:
		return strings.Fields(claim)
	case []any:
		for _, item := range claim {
			if s, ok := item.(string); ok {
				items = append(items, s)
			}
		}
	}
	return items
}
