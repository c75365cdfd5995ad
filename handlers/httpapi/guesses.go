package httpapi

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"sync"
)

// maxAccepted bounds the memory of guesses; what is forgotten counts as new.
const maxAccepted = 10_000

// guesses bounds the credentials that an address may try, each of which costs a look at
// the database or at the issuer. One that was accepted is no guess: who guesses shuts
// nobody out who is known already, although they may share an address.
type guesses struct {
	limiter *limiter

	mu       sync.Mutex
	accepted map[[sha256.Size]byte]struct{}
}

func newGuesses(limiter *limiter) *guesses {
	return &guesses{limiter: limiter, accepted: map[[sha256.Size]byte]struct{}{}}
}

// refuses answers a request that shows a new credential from an address whose requests
// are spent, and reports whether it has. Those that are looked up at this moment are not
// counted yet.
func (g *guesses) refuses(w http.ResponseWriter, r *http.Request) bool {
	credential := credentialOf(r)
	return credential != "" && !g.known(credential) && g.limiter.spent(r) && g.limiter.refuses(w, r)
}

// failed counts a credential that was not accepted, and answers as refuses does. One that
// nobody can tell about has cost a look, too, unless it was accepted before.
func (g *guesses) failed(w http.ResponseWriter, r *http.Request, err error) bool {
	var refused *CredentialError
	if errors.As(err, &refused) {
		g.forget(credentialOf(r))
	}
	return !g.known(credentialOf(r)) && g.limiter.refuses(w, r)
}

func (g *guesses) forget(credential string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.accepted, sha256.Sum256([]byte(credential)))
}

// hit remembers a credential that was accepted.
func (g *guesses) hit(r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.accepted) >= maxAccepted {
		clear(g.accepted)
	}
	g.accepted[sha256.Sum256([]byte(credentialOf(r)))] = struct{}{}
}

func (g *guesses) known(credential string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, known := g.accepted[sha256.Sum256([]byte(credential))]
	return known
}

// credentialOf is what a request shows, or "".
func credentialOf(r *http.Request) string {
	if key := r.Header.Get(apiKeyHeader); key != "" {
		return key
	}
	return r.Header.Get("Authorization")
}
