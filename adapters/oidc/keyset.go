package oidc

import (
	"context"
	"errors"
	"net/http"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

// UnavailableError says that the issuer's keys could not be fetched, so that nobody can
// tell whether a token is good.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string {
	return "the issuer's keys are out of reach: " + e.Err.Error()
}

// Unwrap returns what went wrong.
func (e *UnavailableError) Unwrap() error { return e.Err }

// fetchTimeout bounds one question to the issuer: requests wait for the answer.
const fetchTimeout = 5 * time.Second

// withTimeout bounds what go-oidc asks by ctx.
func withTimeout(ctx context.Context) context.Context {
	return gooidc.ClientContext(ctx, &http.Client{Timeout: fetchTimeout})
}

// fetching is the issuer's key set at the verification of one token. It keeps the error of
// a fetch, of which the verifier passes on nothing but the text.
type fetching struct {
	gooidc.KeySet
	failed error
}

// VerifySignature implements go-oidc's KeySet.
func (f *fetching) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := f.KeySet.VerifySignature(ctx, token)
	// A fetch that failed wraps its cause; a signature that does not fit has none.
	if errors.Unwrap(err) != nil {
		f.failed = err
	}
	return payload, err
}
