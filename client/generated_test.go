package client_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// client.gen.go is what the document generates, by the generator of tools/go.mod.
func TestTheClientIsGenerated(t *testing.T) {
	var want, complaints bytes.Buffer
	generate := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../tools/go.mod", "oapi-codegen", "-config", "oapi-codegen.yaml", "openapi-3.0.yaml")
	generate.Stdout, generate.Stderr = &want, &complaints
	if err := generate.Run(); err != nil {
		t.Fatalf("%v: %s", err, complaints.String())
	}
	got, err := os.ReadFile("client.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("client.gen.go is stale; run go generate ./client (-want +got):\n%s", diff)
	}
}
