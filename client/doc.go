// Package client is the Go client of the API, for the programs of desks, kiosks and
// displays. Anybody may import it; it imports nothing of the server.
//
// Its types and methods are generated from the OpenAPI document. By hand are New, which
// makes requests that are safe to repeat, Accepted, which makes a refusal an error, and
// Follow, which listens to a board. It stands before the first step of a check-in, on the
// other side of the network.
package client

//go:generate go tool -modfile=../tools/go.mod oapi-codegen -config oapi-codegen.yaml -o client.gen.go openapi-3.0.yaml
