package oidc_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/oidc"
	"github.com/rlapp/rlapp/adapters/oidc/oidctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer signs tokens of noon.
type issuer struct {
	t *testing.T
	*oidctest.Issuer
}

func newIssuer(t *testing.T) issuer { t.Helper(); return issuer{t, oidctest.New(t)} }

var noon = time.Date(2026, 2, 19, 12, 0, 0, 0, time.UTC)

// claims are the usual ones, changed.
func (i issuer) claims(change func(map[string]any)) map[string]any {
	claims := map[string]any{
		"iss": i.URL, "aud": "rlapp", "sub": "u-1", "preferred_username": "anna", "roles": []string{"cashier", "doctor"},
		"queues": "queue-1 queue-2", "exp": noon.Add(time.Minute).Unix(), "iat": noon.Unix(),
	}
	if change != nil {
		change(claims)
	}
	return claims
}

// sign returns a token with the usual claims, changed.
func (i issuer) sign(change func(map[string]any)) string {
	i.t.Helper()
	return i.Sign(jose.RS256, i.claims(change))
}

func (i issuer) verifier(change func(*oidc.Config)) *oidc.Verifier {
	i.t.Helper()
	c := oidc.Config{Issuer: i.URL, Audience: "rlapp", ClockSkew: 30 * time.Second, Now: func() time.Time { return noon }}
	if change != nil {
		change(&c)
	}
	v, err := oidc.New(i.t.Context(), c)
	if err != nil {
		i.t.Fatal(err)
	}
	return v
}

func TestATokenTellsWhoItIs(t *testing.T) {
	i := newIssuer(t)
	for name, change := range map[string]func(*oidc.Config){
		"by discovery": nil, "by a key set": func(c *oidc.Config) { c.KeySetURL = i.KeySetURL() },
	} {
		t.Run(name, func(t *testing.T) {
			got, err := i.verifier(change).Verify(t.Context(), i.sign(nil))
			if err != nil {
				t.Fatal(err)
			}
			want := oidc.Claims{Name: "anna", Roles: []string{"cashier", "doctor"}, Queues: []string{"queue-1", "queue-2"}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("claims differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWithoutTheClaimThereIsNoScope(t *testing.T) {
	i := newIssuer(t)
	got, err := i.verifier(nil).Verify(t.Context(), i.sign(func(c map[string]any) { delete(c, "queues") }))
	if err != nil || got.Queues != nil {
		t.Errorf("got the queues %v, error %v", got.Queues, err)
	}
}

func TestTokensThatAreNotAccepted(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier(nil)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set := func(claim string, value any) func(map[string]any) {
		return func(c map[string]any) { c[claim] = value }
	}
	good := i.sign(nil)
	for name, token := range map[string]string{
		"empty": "", "no token": "x", "another issuer": i.sign(set("iss", "https://elsewhere")),
		"another audience":             i.sign(set("aud", "others")),
		"expired":                      i.sign(set("exp", noon.Add(-31*time.Second).Unix())),
		"no expiry":                    i.sign(func(c map[string]any) { delete(c, "exp") }),
		"not valid yet":                i.sign(set("nbf", noon.Add(31*time.Second).Unix())),
		"a stranger's key":             i.SignWith(jose.RS256, stranger, i.claims(nil)),
		"another algorithm of the key": i.Sign(jose.PS256, i.claims(nil)),
		"the public key as a secret":   i.SignWith(jose.HS256, []byte("0123456789abcdef0123456789abcdef"), i.claims(nil)),
		"no signature":                 "eyJhbGciOiJub25lIn0" + good[strings.IndexByte(good, '.'):],
		"changed":                      good[:len(good)-4] + "AAAA",
		"no queue":                     i.sign(set("queues", []string{})),
		"null for queues":              i.sign(set("queues", nil)),
		"blanks for queues":            i.sign(set("queues", "  ")),
		"a number for queues":          i.sign(set("queues", 1)),
		"nobody":                       i.sign(func(c map[string]any) { delete(c, "sub"); delete(c, "preferred_username") }),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), token)
			var refused *oidc.TokenError
			if !errors.As(err, &refused) {
				t.Errorf("got %v, want *TokenError", err)
			}
		})
	}
	for name, token := range map[string]string{
		"a little late":  i.sign(set("exp", noon.Add(-29*time.Second).Unix())),
		"a little early": i.sign(set("nbf", noon.Add(29*time.Second).Unix())),
	} {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// While the issuer is away nobody is told that a good token is bad, and whoever shows a
// key that is known is let in.
func TestAnIssuerThatIsAway(t *testing.T) {
	i := newIssuer(t)
	v := i.verifier(func(c *oidc.Config) { c.KeySetURL = i.KeySetURL() })
	i.SetAway(true)
	before := i.sign(nil)
	wantUnavailable(t, v, before)
	i.SetAway(false)
	wantAccepted(t, v, before)
	i.SetAway(true)
	wantAccepted(t, v, before)
	i.Rotate()
	after := i.sign(nil)
	wantAccepted(t, v, before)
	wantUnavailable(t, v, after)
	i.SetAway(false)
	wantAccepted(t, v, after)
	wantRefused(t, v, before)
}

// What is no key set tells nothing about a token either.
func TestAnIssuerThatAnswersNonsense(t *testing.T) {
	i := newIssuer(t)
	for name, answer := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"no JSON":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>back soon</html>")) },
		"half of it": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			defer server.Close()
			v := i.verifier(func(c *oidc.Config) { c.KeySetURL = server.URL })
			wantUnavailable(t, v, i.sign(nil))
		})
	}
}

func TestAnIssuerThatNeverAnswers(t *testing.T) {
	i := newIssuer(t)
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	defer server.Close()
	defer close(end)
	v := i.verifier(func(c *oidc.Config) { c.KeySetURL = server.URL })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // far beyond the verifier's own patience
	defer cancel()
	_, err := v.Verify(ctx, i.sign(nil))
	var unavailable *oidc.UnavailableError
	if !errors.As(err, &unavailable) || ctx.Err() != nil {
		t.Errorf("got %v, want *UnavailableError in time", err)
	}
}

func wantUnavailable(t *testing.T, v *oidc.Verifier, token string) {
	t.Helper()
	_, err := v.Verify(t.Context(), token)
	var unavailable *oidc.UnavailableError
	if !errors.As(err, &unavailable) {
		t.Errorf("got %v, want *UnavailableError", err)
	}
}

// wantAccepted asks again for a while: who asks at the very end of a fetch that failed
// learns that it did.
func wantAccepted(t *testing.T, v *oidc.Verifier, token string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, err := v.Verify(t.Context(), token)
		var unavailable *oidc.UnavailableError
		if errors.As(err, &unavailable) && time.Now().Before(deadline) {
			continue
		}
		if err != nil {
			t.Error(err)
		}
		return
	}
}

// wantRefused asks again for a while: who asks during a fetch is told by its keys a moment
// before they take the place of those of before.
func wantRefused(t *testing.T, v *oidc.Verifier, token string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, err := v.Verify(t.Context(), token)
		if err == nil && time.Now().Before(deadline) {
			continue
		}
		var refused *oidc.TokenError
		if !errors.As(err, &refused) {
			t.Errorf("got %v, want *TokenError", err)
		}
		return
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]oidc.Config{
		"no issuer": {Audience: "rlapp"}, "no audience": {Issuer: "https://i"},
		"a shared secret": {Issuer: "https://i", Audience: "a", Algorithm: "HS256"},
		"no algorithm":    {Issuer: "https://i", Audience: "a", Algorithm: "none"},
		"too much skew":   {Issuer: "https://i", Audience: "a", ClockSkew: 6 * time.Minute},
		"an issuer away":  {Issuer: "http://127.0.0.1:1", Audience: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := oidc.New(t.Context(), c); err == nil {
				t.Error("accepted")
			}
		})
	}
}
