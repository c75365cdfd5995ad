// Package oidctest gives a test an OpenID Connect issuer of its own on loopback, which
// signs what the test claims, and may be away.
//
// Only tests may import it. It stands where a clinic's issuer does, whose keys
// adapters/oidc fetches.
package oidctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Issuer is an issuer with an RSA key and one of the curve P-256. It is safe for
// concurrent use.
type Issuer struct {
	// URL is what its tokens name in iss.
	URL string

	t    testing.TB
	away atomic.Bool

	mu   sync.Mutex
	keys keys
}

// keys are those of one moment; a rotation makes others.
type keys struct {
	number int
	rsa    *rsa.PrivateKey
	ec     *ecdsa.PrivateKey
}

// New returns an issuer, which ends with the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{t: t}
	i.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.answer(w, map[string]any{
			"issuer": i.URL, "jwks_uri": i.KeySetURL(), "authorization_endpoint": i.URL, "token_endpoint": i.URL,
			"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { i.answer(w, i.keySet()) })
	server := httptest.NewServer(mux)
	t.Cleanup(func() { http.DefaultClient.CloseIdleConnections(); server.Close() })
	i.URL = server.URL
	return i
}

// KeySetURL is where its keys are.
func (i *Issuer) KeySetURL() string { return i.URL + "/keys" }

// SetAway says whether it breaks every connection off instead of answering.
func (i *Issuer) SetAway(away bool) { i.away.Store(away) }

// Rotate gives it new keys, of which nobody knows yet.
func (i *Issuer) Rotate() {
	i.t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		i.t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys{number: i.keys.number + 1, rsa: rsaKey, ec: ecKey}
}

// Sign returns a token with claims, signed with the issuer's own key for the algorithm.
func (i *Issuer) Sign(algorithm jose.SignatureAlgorithm, claims map[string]any) string {
	i.t.Helper()
	if strings.HasPrefix(string(algorithm), "ES") {
		return i.SignWith(algorithm, i.now().ec, claims)
	}
	return i.SignWith(algorithm, i.now().rsa, claims)
}

// SignWith is Sign with a key that need not be the issuer's, under the name of its own.
func (i *Issuer) SignWith(algorithm jose.SignatureAlgorithm, key any, claims map[string]any) string {
	i.t.Helper()
	named := (&jose.SignerOptions{}).WithHeader("kid", i.now().id(strings.HasPrefix(string(algorithm), "ES")))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, named)
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

func (i *Issuer) now() keys {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys
}

// id is what a key is called.
func (k keys) id(ofCurve bool) string {
	if ofCurve {
		return "ec-" + strconv.Itoa(k.number)
	}
	return "rsa-" + strconv.Itoa(k.number)
}

func (i *Issuer) keySet() jose.JSONWebKeySet {
	k := i.now()
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: k.rsa.Public(), KeyID: k.id(false), Algorithm: "RS256", Use: "sig"},
		{Key: k.ec.Public(), KeyID: k.id(true), Algorithm: "ES256", Use: "sig"},
	}}
}

func (i *Issuer) answer(w http.ResponseWriter, body any) {
	if i.away.Load() {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}
