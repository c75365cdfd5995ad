package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/rlapp/rlapp/adapters/oidc"
	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/app/server/config"
	"github.com/rlapp/rlapp/handlers/httpapi"
)

// InsecureError says that the API would listen beyond this machine and ask nobody who
// they are.
type InsecureError struct{ Address string }

func (e *InsecureError) Error() string {
	return fmt.Sprintf("the API would listen on %s, beyond this machine, and let everybody do everything: "+
		"set Auth__Issuer and Auth__Audience, or Auth__ApiKeys=true, or start it with --insecure on a network where all are trusted", e.Address)
}

// checkExposure returns *InsecureError where callers would have to be asked.
func checkExposure(c config.Config) error {
	if c.Api.Insecure || c.Auth.Asks() || onLoopback(c.Api.Address) {
		return nil
	}
	return &InsecureError{Address: c.Api.Address}
}

// onLoopback reports whether only this machine reaches an address. A name counts as
// such only if it is localhost: what others mean is not ours to know.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// authentication is how callers show who they are.
func (s *Server) authentication(ctx context.Context) (a httpapi.Authentication, err error) {
	auth := s.config.Auth
	if auth.ApiKeys {
		a.Keys = keyHolders{postgres.NewAPIKeys(s.pool)}
	}
	if auth.Issuer == "" {
		return a, nil
	}
	verifier, err := oidc.New(ctx, oidc.Config{
		Issuer: auth.Issuer, Audience: auth.Audience, KeySetURL: auth.KeySetURL, Algorithm: auth.Algorithm,
		ClockSkew: auth.ClockSkew(), RolesClaim: auth.RolesClaim, QueuesClaim: auth.QueuesClaim,
	})
	if err != nil {
		return a, err
	}
	a.Tokens = tokenBearers{verifier}
	return a, nil
}

// tokenBearers are the callers with a bearer token.
type tokenBearers struct{ verifier *oidc.Verifier }

// Authenticate implements httpapi.Authenticator.
func (t tokenBearers) Authenticate(ctx context.Context, token string) (httpapi.Identity, error) {
	claims, err := t.verifier.Verify(ctx, token)
	var refused *oidc.TokenError
	if errors.As(err, &refused) {
		return httpapi.Identity{}, &httpapi.CredentialError{Reason: "the token is not accepted; it may have expired", Err: err}
	}
	if err != nil {
		return httpapi.Identity{}, err
	}
	return httpapi.Identity{Name: claims.Name, Roles: rolesOf(claims.Roles), Queues: claims.Queues}, nil
}

// keyHolders are the callers with an API key.
type keyHolders struct{ keys *postgres.APIKeys }

// Authenticate implements httpapi.Authenticator.
func (k keyHolders) Authenticate(ctx context.Context, key string) (httpapi.Identity, error) {
	found, err := k.keys.Find(ctx, key)
	if errors.Is(err, postgres.ErrUnknownKey) {
		return httpapi.Identity{}, &httpapi.CredentialError{Reason: "the API key is not known; it may have been revoked"}
	}
	if err != nil {
		return httpapi.Identity{}, err
	}
	return httpapi.Identity{Name: found.Name, Roles: rolesOf(found.Roles), Queues: found.Queues}, nil
}

// rolesOf leaves out what is no role of ours.
func rolesOf(names []string) (roles []httpapi.Role) {
	for _, name := range names {
		if r := httpapi.Role(name); slices.Contains(httpapi.Roles(), r) {
			roles = append(roles, r)
		}
	}
	return roles
}
