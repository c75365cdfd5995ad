package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/app/server"
)

func TestStagesStopInReverseOrder(t *testing.T) {
	p := server.NewProcess()
	var stopped []string
	for _, name := range []string{"database", "relay", "http"} {
		run := func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}
		if err := p.Start(t.Context(), name, run, func() error { stopped = append(stopped, name); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Stop(patience); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"http", "relay", "database"}, stopped); diff != "" {
		t.Errorf("order differs (-want +got):\n%s", diff)
	}
}

// Stages that do not end hold the process up for the timeout once, not each.
func TestStoppingIsBounded(t *testing.T) {
	p := server.NewProcess()
	release := make(chan struct{})
	defer close(release)
	hang := func(context.Context) error { <-release; return nil }
	for _, name := range []string{"first", "second"} {
		if err := p.Start(t.Context(), name, hang, nil); err != nil {
			t.Fatal(err)
		}
	}
	err := p.Stop(10 * time.Millisecond)
	for _, name := range []string{"first", "second"} {
		if err == nil || !strings.Contains(err.Error(), "stop "+name) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
	}
}

func TestAPartThatEndsIsNoticed(t *testing.T) {
	errBroken := errors.New("broken")
	for want, result := range map[string]error{"it ended by itself": nil, "broken": errBroken} {
		p := server.NewProcess()
		if err := p.Start(t.Context(), "part", func(context.Context) error { return result }, nil); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if err := p.Stop(patience); err != nil {
			t.Error(err)
		}
	}
}
