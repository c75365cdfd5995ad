// Package oidc finds out who shows a bearer token of an OpenID Connect issuer.
//
// It knows the issuer's keys and claims, and nothing of routes and roles; app/server wires
// it. On the way of a check-in it stands before handlers/httpapi, which asks it once a
// request; the keys are fetched when a token shows one that is not known yet. While the
// issuer is away, tokens of keys that are known are verified on.
package oidc
