package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/schema"
)

// delivery is an event as a plugin got it.
type delivery struct {
	EventID string
	Queue   string
	Version int64
}

// recorder keeps what the plugins of all processes got, in the order in which they did.
type recorder struct {
	url    string
	server *http.Server

	mu         sync.Mutex
	deliveries []delivery
}

func newRecorder(ctx context.Context) (*recorder, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{url: "http://" + listener.Addr().String()}
	r.server = &http.Server{Handler: http.HandlerFunc(r.take), ReadHeaderTimeout: time.Second}
	go func() { _ = r.server.Serve(listener) }()
	return r, nil
}

func (r *recorder) take(w http.ResponseWriter, request *http.Request) {
	var d delivery
	if err := json.NewDecoder(request.Body).Decode(&d); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deliveries = append(r.deliveries, d)
}

// of returns the deliveries of a round's queues.
func (r *recorder) of(prefix string) (all []delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.deliveries {
		if strings.HasPrefix(d.Queue, prefix) {
			all = append(all, d)
		}
	}
	return all
}

// forget makes room for the next round.
func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deliveries = nil
}

func (r *recorder) close() error { return r.server.Close() }

// recordTo is the plugin that tells the recorder at an address what it gets. All its
// events come through one handler, so that their order can be told.
func recordTo(url string) plugin.Plugin {
	return plugin.Plugin{Name: "recorder", Handlers: []plugin.Handler{
		plugin.On("check-ins", func(ctx context.Context, _ schema.PatientCheckedIn, m schema.Metadata) error {
			return record(ctx, url, delivery{EventID: m.EventID, Queue: m.AggregateID, Version: m.Version})
		}),
	}}
}

var errNotRecorded = errors.New("the recorder did not take an event")

func record(ctx context.Context, url string, d delivery) error {
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body)) //nolint:gosec // the one who started us says where
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(post) //nolint:gosec // see above
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errNotRecorded, response.Status)
	}
	return nil
}
