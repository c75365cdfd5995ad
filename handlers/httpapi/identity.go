package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/rlapp/rlapp/waitingroom"
)

// Role is what a caller may do; see the table in roles.go.
type Role string

// The roles. A caller may have several.
const (
	Reception Role = "reception"
	Cashier   Role = "cashier"
	Doctor    Role = "doctor"
	Display   Role = "display"
	Operator  Role = "operator"
	Admin     Role = "admin"
)

// Roles lists all of them.
func Roles() []Role { return []Role{Reception, Cashier, Doctor, Display, Operator, Admin} }

// Identity is a caller whom an Authenticator knows.
type Identity struct {
	// Name is who it is: the actor of what the caller does.
	Name string
	// Roles are what the caller may do.
	Roles []Role
	// Queues are those that the caller may see and change; all where it is empty.
	Queues []string
}

// may reports whether one of the caller's roles is among those allowed.
func (i Identity) may(allowed []Role) bool {
	return slices.ContainsFunc(i.Roles, func(r Role) bool { return r == Admin || slices.Contains(allowed, r) })
}

// reaches reports whether a queue is in the caller's scope; "" stands for all queues.
func (i Identity) reaches(queueID string) bool {
	return len(i.Queues) == 0 || slices.Contains(i.Queues, queueID)
}

// Authenticator finds out who shows a credential. It must be safe for concurrent use.
type Authenticator interface {
	// Authenticate returns *CredentialError for a credential that it does not accept, and
	// other errors where it cannot tell.
	Authenticate(ctx context.Context, credential string) (Identity, error)
}

// CredentialError says why a credential is not accepted, without repeating it.
type CredentialError struct {
	Reason string
	Err    error
}

func (e *CredentialError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return fmt.Sprintf("%s: %v", e.Reason, e.Err)
}

// Unwrap returns what the verifier said.
func (e *CredentialError) Unwrap() error { return e.Err }

// undecidedError says that nobody can tell now who shows a credential.
type undecidedError struct{ err error }

func (e *undecidedError) Error() string { return "find out who calls: " + e.err.Error() }

func (e *undecidedError) Unwrap() error { return e.err }

// Authentication is how callers show who they are. The zero value asks nobody.
type Authentication struct {
	// Tokens accepts bearer tokens. Default: there are none.
	Tokens Authenticator
	// Keys accepts API keys. Default: there are none.
	Keys Authenticator
}

func (a Authentication) asked() bool { return a.Tokens != nil || a.Keys != nil }

// apiKeyHeader is where a kiosk or a display shows its key.
const apiKeyHeader = "X-Api-Key" //nolint:gosec // a header's name

type identityKey struct{}

// identityOf is the caller, where callers are asked who they are.
func identityOf(ctx context.Context) (Identity, bool) {
	i, ok := ctx.Value(identityKey{}).(Identity)
	return i, ok
}

// authenticate finds out who calls. Whether the caller may do what it asks for is
// authorize's to say, for what needs no caller is served to all.
func (a *api) authenticate(next http.Handler) http.Handler {
	if !a.config.Authentication.asked() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.guesses.refuses(w, r) {
			return
		}
		identity, shown, err := a.config.Authentication.identify(r)
		if err != nil && a.guesses.failed(w, r, err) {
			return
		}
		if err != nil {
			writeProblem(w, problemOf(r.Context(), a.fail(r.Context(), err)))
			return
		}
		if shown {
			a.guesses.hit(r)
			r = r.WithContext(context.WithValue(r.Context(), identityKey{}, identity))
		}
		next.ServeHTTP(w, r)
	})
}

// identify reads the credential of a request, if it shows one.
func (a Authentication) identify(r *http.Request) (identity Identity, shown bool, err error) {
	if key := r.Header.Get(apiKeyHeader); key != "" {
		return identify(r.Context(), a.Keys, key, "API keys are not accepted here")
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return Identity{}, false, nil
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return Identity{}, false, &CredentialError{Reason: "send the header Authorization: Bearer <token>"}
	}
	return identify(r.Context(), a.Tokens, strings.TrimSpace(token), "bearer tokens are not accepted here")
}

func identify(ctx context.Context, by Authenticator, credential, none string) (Identity, bool, error) {
	if by == nil {
		return Identity{}, false, &CredentialError{Reason: none}
	}
	identity, err := by.Authenticate(ctx, credential)
	var refused *CredentialError
	if err != nil && !errors.As(err, &refused) {
		err = &undecidedError{err}
	}
	if fault := waitingroom.NameFault(identity.Name); err == nil && fault != "" {
		err = &CredentialError{Reason: "the caller's name " + fault}
	}
	return identity, err == nil, err
}
