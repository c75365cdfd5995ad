package oidc_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/oidc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer is an OpenID Connect issuer on loopback.
type issuer struct {
	t   *testing.T
	url string
	key *rsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": i.url, "jwks_uri": i.url + "/keys", "authorization_endpoint": i.url, "token_endpoint": i.url,
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() { http.DefaultClient.CloseIdleConnections(); server.Close() })
	i.url = server.URL
	return i
}

// sign returns a token with the usual claims, changed.
func (i *issuer) sign(algorithm jose.SignatureAlgorithm, key any, change func(map[string]any)) string {
	i.t.Helper()
	claims := map[string]any{
		"iss": i.url, "aud": "rlapp", "sub": "u-1", "preferred_username": "anna", "roles": []string{"cashier", "doctor"},
		"queues": "queue-1 queue-2", "exp": noon.Add(time.Minute).Unix(), "iat": noon.Unix(),
	}
	if change != nil {
		change(claims)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		i.t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

var noon = time.Date(2026, 2, 19, 12, 0, 0, 0, time.UTC)

func (i *issuer) verifier(change func(*oidc.Config)) *oidc.Verifier {
	i.t.Helper()
	c := oidc.Config{Issuer: i.url, Audience: "rlapp", ClockSkew: 30 * time.Second, Now: func() time.Time { return noon }}
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
		"by discovery": nil, "by a key set": func(c *oidc.Config) { c.KeySetURL = i.url + "/keys" },
	} {
		t.Run(name, func(t *testing.T) {
			got, err := i.verifier(change).Verify(t.Context(), i.sign(jose.RS256, i.key, nil))
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
	got, err := i.verifier(nil).Verify(t.Context(), i.sign(jose.RS256, i.key, func(c map[string]any) { delete(c, "queues") }))
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
	good := i.sign(jose.RS256, i.key, nil)
	for name, token := range map[string]string{
		"empty": "", "no token": "x", "another issuer": i.sign(jose.RS256, i.key, set("iss", "https://elsewhere")),
		"another audience":             i.sign(jose.RS256, i.key, set("aud", "others")),
		"expired":                      i.sign(jose.RS256, i.key, set("exp", noon.Add(-31*time.Second).Unix())),
		"no expiry":                    i.sign(jose.RS256, i.key, func(c map[string]any) { delete(c, "exp") }),
		"not valid yet":                i.sign(jose.RS256, i.key, set("nbf", noon.Add(31*time.Second).Unix())),
		"a stranger's key":             i.sign(jose.RS256, stranger, nil),
		"another algorithm of the key": i.sign(jose.PS256, i.key, nil),
		"the public key as a secret":   i.sign(jose.HS256, []byte("0123456789abcdef0123456789abcdef"), nil),
		"no signature":                 "eyJhbGciOiJub25lIn0." + good[len("eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ."):],
		"changed":                      good[:len(good)-4] + "AAAA",
		"no queue":                     i.sign(jose.RS256, i.key, set("queues", []string{})),
		"null for queues":              i.sign(jose.RS256, i.key, set("queues", nil)),
		"blanks for queues":            i.sign(jose.RS256, i.key, set("queues", "  ")),
		"a number for queues":          i.sign(jose.RS256, i.key, set("queues", 1)),
		"nobody":                       i.sign(jose.RS256, i.key, func(c map[string]any) { delete(c, "sub"); delete(c, "preferred_username") }),
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
		"a little late":  i.sign(jose.RS256, i.key, set("exp", noon.Add(-29*time.Second).Unix())),
		"a little early": i.sign(jose.RS256, i.key, set("nbf", noon.Add(29*time.Second).Unix())),
	} {
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
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
