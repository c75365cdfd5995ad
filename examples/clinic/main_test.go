package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rlapp/rlapp/adapters/postgres/postgrestest"
	"github.com/rlapp/rlapp/app/server"
	"github.com/rlapp/rlapp/app/server/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Wrap(m)) }

// locked is a buffer that the display and the report write to.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// A whole day at the clinic, against a real server: every visit ends as it was meant to,
// and the display has shown it.
func TestADayAtTheClinic(t *testing.T) {
	c, err := config.Load([]string{"Api__Address=127.0.0.1:0", "EventStore__ConnectionString=" + postgrestest.Migrated(t)}, "")
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(server.RoleAll, c, slog.New(slog.DiscardHandler), io.Discard)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-s.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	var out locked
	o := options{api: "http://" + s.Address(), queue: "clinic", patients: 30, pause: 5 * time.Millisecond}
	if err := run(t.Context(), o, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.b.String())
	}
	text := out.b.String()
	// Which of the steps the display shows depends on how fast they pass.
	for _, shown := range []string{"── board", "A-030", "cancelled-absence", "cancelled-payment"} {
		if !strings.Contains(text, shown) {
			t.Errorf("the output has no %q", shown)
		}
	}
	if strings.Contains(text, "of the Day") {
		t.Error("the display names a patient")
	}
}
